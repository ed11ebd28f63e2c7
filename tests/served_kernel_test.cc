// The kernel that a plan names is the one that runs: every kernel of this build, behind a counter of its calls.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/logit_session.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "layers/linear.h"
#include "models/load_model.h"
#include "models/planned_kernels.h"
#include "prepare/random_weight.h"

namespace nvfp4 {
namespace kernels {
namespace {

constexpr std::size_t kMaxKernels = 64;
std::array<std::size_t, kMaxKernels> num_runs;
std::array<std::size_t, kMaxKernels> num_gated_runs;

template <std::size_t kIdx>
void run(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
         WorkerPool& pool) {
  ++num_runs[kIdx];
  built_in_linear_kernels()[kIdx].run(weight, activation, args, workspace, pool);
}
template <std::size_t kIdx>
void run_gated(const GatedPair& pair, Activation activation, const LinearArgs& args, Workspace& workspace,
               WorkerPool& pool) {
  ++num_gated_runs[kIdx];
  built_in_linear_kernels()[kIdx].run_gated(pair, activation, args, workspace, pool);
}

template <std::size_t... kIdx>
std::vector<LinearKernel> counted(std::index_sequence<kIdx...> /*all*/) {
  const auto built_in = built_in_linear_kernels();
  std::vector<LinearKernel> kernels(built_in.begin(), built_in.end());
  EXPECT_LE(kernels.size(), kMaxKernels);
  const auto wrap = [&](std::size_t idx, auto one, auto pair) {
    if (idx >= kernels.size()) return;
    kernels[idx].run = one;
    if (kernels[idx].run_gated != nullptr) kernels[idx].run_gated = pair;
  };
  (wrap(kIdx, run<kIdx>, run_gated<kIdx>), ...);
  return kernels;
}

}  // namespace

std::span<const LinearKernel> linear_kernels() {
  static const std::vector<LinearKernel> kernels = counted(std::make_index_sequence<kMaxKernels>());
  return kernels;
}

}  // namespace kernels

namespace {

using kernels::WeightFormat;

void forget_calls() {
  kernels::num_runs.fill(0);
  kernels::num_gated_runs.fill(0);
}
std::set<std::string> names_called() {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kernels::linear_kernels().size(); ++i) {
    if (kernels::num_runs[i] + kernels::num_gated_runs[i] > 0) names.emplace(kernels::linear_kernels()[i].name);
  }
  return names;
}

plan::Layer layer_of(WeightFormat weight, Activation activation, std::uint32_t num_experts) {
  plan::Layer layer;
  layer.kind = num_experts > 1 ? "mlp.experts" : "mlp.up_proj";
  layer.operation = num_experts > 1 ? plan::Operation::kExperts : plan::Operation::kLinear;
  layer.weight = weight;
  layer.activation = activation;
  layer.has_input_scale = activation == Activation::kNvfp4Static || activation == Activation::kFp8Static;
  layer.block_size = weight == WeightFormat::kNvfp4 ? 16 : 0;
  layer.out_features = 48;
  layer.in_features = 128;
  layer.num_experts = num_experts;
  layer.top_k = 2;
  return layer;
}

prepare::PreparedWeight weight_of(const plan::Layer& layer, WorkerPool& pool) {
  prepare::PreparedWeight weight;
  weight.name = "model.layers.3." + layer.kind + (layer.num_experts > 1 ? ".up_proj" : "");
  weight.format = layer.weight;
  weight.activation = layer.activation;
  weight.num_experts = layer.num_experts;
  weight.out_features = layer.out_features;
  weight.in_features = layer.in_features;
  weight.block_size = layer.block_size;
  EXPECT_TRUE(prepare::fill_random(weight, 5, 0.1, pool));
  return weight;
}

// Runs a layer of the plan's choice and says which kernels were called.
class Runner {
 public:
  Runner(const plan::Layer& layer, const plan::Deployment& deployment) {
    auto plan = plan::make_plan(std::vector{layer}, plan::cpu_of("here", best_instruction_set(), 2), deployment);
    EXPECT_TRUE(plan) << plan.error().to_string();
    for (const plan::PlannedLayer& line : plan->layers) {
      for (const plan::KernelRange& range : line.ranges) named_.insert(range.kernel);
    }
    models::PlannedKernels planned(std::move(plan).value());
    for (std::size_t i = 0; i < 2; ++i) {
      auto weight = weight_of(layer, pool_);
      auto serving = planned.kernels_of(weight);
      EXPECT_TRUE(serving) << serving.error().to_string();
      layers_.push_back(layers::Linear::create(std::move(weight), *serving, pool_).value());
    }
  }
  [[nodiscard]] const std::set<std::string>& named() const { return named_; }

  std::set<std::string> run(std::uint32_t num_rows, bool gated) {
    const layers::Linear& linear = layers_[0];
    const std::vector<float> x(num_rows * linear.in_features(), 0.5F);
    std::vector<float> y(num_rows * linear.out_features(), NAN);
    std::vector<std::uint32_t> offsets;
    for (std::uint32_t e = 0; e <= linear.weight().num_experts; ++e) offsets.push_back(e == 0 ? 0 : num_rows);
    if (linear.weight().num_experts == 1) offsets.clear();
    workspace_.reserve(layers::Linear::gated_workspace_bytes(layers_[0], layers_[1], num_rows, 2) + (1U << 16U));
    forget_calls();
    const layers::Context context{workspace_, pool_};
    if (gated) {
      layers::Linear::run_gated(layers_[0], layers_[1], kernels::GateFunction::kSilu, x, num_rows, y, context, offsets);
    } else {
      linear.run(x, num_rows, y, context, offsets);
    }
    for (const float value : y) EXPECT_TRUE(std::isfinite(value));
    return names_called();
  }

 private:
  WorkerPool pool_{2};
  Workspace workspace_;
  std::set<std::string> named_;
  std::vector<layers::Linear> layers_;
};

TEST(ServedKernel, IsTheOneThatIsNamedForEveryEntryOfTheCatalogue) {
  std::set<std::string> tested;
  for (const kernels::LinearKernel& kernel : kernels::linear_kernels()) {
    if (!runs_here(kernel.needs)) continue;
    for (const WeightFormat weight :
         {WeightFormat::kNvfp4, WeightFormat::kFp8, WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kF32}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic,
                                          Activation::kFp8Static, Activation::kFp8Dynamic}) {
        for (const std::uint32_t num_experts : {1U, 4U}) {
          const plan::Layer layer = layer_of(weight, activation, num_experts);
          const auto problem = plan::linear_problem(layer, num_experts > 1 ? "up_proj" : "");
          if (!linear_kernel_refusal(kernel, problem, best_instruction_set()).empty()) continue;
          plan::Deployment deployment;
          deployment.forced = {{layer.kind, "", std::string(kernel.name)}};
          Runner runner(layer, deployment);
          const std::set<std::string> expected = {std::string(kernel.name)};
          EXPECT_EQ(runner.named(), expected);
          for (const std::uint32_t num_rows : {1U, 35U}) {
            EXPECT_EQ(runner.run(num_rows, false), expected) << num_rows;
            EXPECT_EQ(runner.run(num_rows, true), expected) << num_rows;
          }
          tested.emplace(kernel.name);
        }
      }
    }
  }
  for (const kernels::LinearKernel& kernel : kernels::linear_kernels()) {
    EXPECT_EQ(tested.contains(std::string(kernel.name)), runs_here(kernel.needs)) << kernel.name;
  }
}

// A table may give a layer to several kernels in turn: for so many tokens the one that the plan names for them.
TEST(ServedKernel, IsTheOneOfItsTokens) {
  if (!runs_here(InstructionSet::kAvx512)) GTEST_SKIP() << "this processor has one kernel for tiles";
  const plan::Layer layer = layer_of(WeightFormat::kNvfp4, Activation::k16Bit, 1);
  plan::MeasuredTable table;
  table.problems.push_back({plan::problem_text(layer),
                            {{4, {{"linear_nvfp4_f32_avx2", 1}, {"linear_nvfp4_f32_avx512", 2}}},
                             {8, {{"linear_nvfp4_f32_avx2", 2}, {"linear_nvfp4_f32_avx512", 1}}}}});
  plan::Deployment deployment;
  deployment.table = std::make_shared<plan::MeasuredTable>(std::move(table));
  Runner runner(layer, deployment);
  for (const bool gated : {false, true}) {
    for (const std::uint32_t num_tokens : {1U, 4U}) {
      EXPECT_EQ(runner.run(num_tokens, gated), std::set<std::string>{"linear_nvfp4_f32_avx2"}) << num_tokens;
    }
    for (const std::uint32_t num_tokens : {5U, 8U, 600U}) {
      EXPECT_EQ(runner.run(num_tokens, gated), std::set<std::string>{"linear_nvfp4_f32_avx512"}) << num_tokens;
    }
  }
}

// A whole model, under each instruction set that runs here.
class ServedModel : public testing::TestWithParam<std::string> {};

TEST_P(ServedModel, RunsTheKernelsOfItsPlanAndNoOthers) {
  const std::string directory = std::string(NVFP4_FIXTURES) + "/parity/" + GetParam();
  const auto checkpoint = Checkpoint::open(directory);
  ASSERT_TRUE(checkpoint) << checkpoint.error().to_string();
  for (const InstructionSet set : kInstructionSets) {
    if (!runs_here(set)) continue;
    WorkerPool pool(2);
    models::LoadOptions options;
    options.instruction_set = set;
    const auto model = models::load_model(*checkpoint, directory, options, pool);
    ASSERT_TRUE(model) << model.error().to_string();
    forget_calls();
    auto session = engine::LogitSession::create(**model, layers::KvType::kBF16, 64, 64, pool);
    ASSERT_TRUE(session);
    (void)session->feed(std::vector<TokenId>{1});
    (void)session->feed(std::vector<TokenId>(40, 2));
    std::set<std::string> named;
    for (const plan::PlannedLayer& line : (*model)->plan().layers) {
      if (line.layer.operation == plan::Operation::kEmbedding) continue;
      for (const plan::KernelRange& range : line.ranges) named.insert(range.kernel);
    }
    EXPECT_EQ(names_called(), named) << instruction_set_name(set);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ServedModel,
                         testing::Values("compressed_w4a16_qwen3_bias", "compressed_w4a4_mistral_window",
                                         "modelopt_mixed_qwen3_moe", "modelopt_w4a4_llama", "plain_qwen3_moe"),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace nvfp4
