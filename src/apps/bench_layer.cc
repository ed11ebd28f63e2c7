#include "apps/bench_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <utility>

#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "prepare/random_weight.h"

namespace nvfp4::apps {
namespace {

constexpr std::uint64_t kRouterKey = 1;

struct Matrix {
  const char* name;
  BenchScheme scheme;
  std::uint32_t num_experts;
  std::uint64_t out_features, in_features;
};

// Means nothing where there is no gate.
kernels::GateFunction gate_function(ExpertActivation activation) {
  return activation == ExpertActivation::kGeluTanh ? kernels::GateFunction::kGeluTanh : kernels::GateFunction::kSilu;
}

class LayerMaker {
 public:
  LayerMaker(const BenchProblem& problem, InstructionSet instruction_set, WorkerPool& pool)
      : problem_(problem), instruction_set_(instruction_set), pool_(pool) {}

  [[nodiscard]] Result<layers::Linear> linear(std::uint64_t key) const {
    return make({"linear", problem_.scheme, 1, problem_.out_features, problem_.in_features}, key);
  }

  [[nodiscard]] Result<layers::SparseMoe> moe(std::uint64_t key) const {
    auto router = make({"router", BenchScheme::kBF16, 1, problem_.num_experts, problem_.hidden_size}, kRouterKey);
    NVFP4_RETURN_IF_ERROR(router);
    std::optional<layers::Linear> gate;
    if (problem_.expert_activation != ExpertActivation::kRelu2) {
      auto made = experts("gate", problem_.intermediate_size, problem_.hidden_size, key);
      NVFP4_RETURN_IF_ERROR(made);
      gate = std::move(made).value();
    }
    auto up = experts("up", problem_.intermediate_size, problem_.hidden_size, key + 1);
    NVFP4_RETURN_IF_ERROR(up);
    auto down = experts("down", problem_.hidden_size, problem_.intermediate_size, key + 2);
    NVFP4_RETURN_IF_ERROR(down);
    return layers::SparseMoe(std::move(router).value(), std::move(gate), std::move(up).value(), std::move(down).value(),
                             problem_.top_k, true, gate_function(problem_.expert_activation));
  }

 private:
  [[nodiscard]] Result<layers::Linear> experts(const char* name, std::uint64_t out_features, std::uint64_t in_features,
                                               std::uint64_t key) const {
    return make({name, problem_.scheme, problem_.num_experts, out_features, in_features}, key);
  }

  [[nodiscard]] Result<layers::Linear> make(const Matrix& matrix, std::uint64_t key) const {
    prepare::PreparedWeight weight;
    weight.name = fmt::format("{}: {}", problem_.to_string(), matrix.name);
    weight.format = weight_format(matrix.scheme);
    weight.activation = activation(matrix.scheme);
    weight.num_experts = matrix.num_experts;
    weight.out_features = matrix.out_features;
    weight.in_features = matrix.in_features;
    weight.block_size = weight.format == kernels::WeightFormat::kNvfp4 ? kNvfp4BlockSize : 0;
    const double spread = 1 / std::sqrt(static_cast<double>(matrix.in_features));
    if (!prepare::fill_random(weight, prepare::mix_bits(key), spread, pool_)) {
      return Error{ErrorCode::kIo, weight.name, "there is not enough memory for its weights"};
    }
    return layers::Linear::create(std::move(weight), instruction_set_, pool_);
  }

  const BenchProblem& problem_;
  InstructionSet instruction_set_;
  WorkerPool& pool_;
};

}  // namespace

Result<BenchLayers> BenchLayers::create(const BenchProblem& problem, std::size_t num_copies,
                                        InstructionSet instruction_set, WorkerPool& pool) {
  constexpr std::uint64_t kKeysPerCopy = 16;
  if (problem.is_moe() && problem.expert_activation == ExpertActivation::kSwigluOai) {
    return Error{ErrorCode::kUnsupported, problem.to_string(),
                 "no layer of the CPU has swigluoai experts; measure it with --device cuda"};
  }
  BenchLayers out(problem);
  out.layers_.reserve(num_copies);
  const LayerMaker maker(problem, instruction_set, pool);
  for (std::size_t copy_idx = 0; copy_idx < num_copies; ++copy_idx) {
    const std::uint64_t key = (copy_idx + 1) * kKeysPerCopy;
    if (problem.is_moe()) {
      auto layer = maker.moe(key);
      NVFP4_RETURN_IF_ERROR(layer);
      out.layers_.emplace_back(std::move(layer).value());
    } else {
      auto layer = maker.linear(key);
      NVFP4_RETURN_IF_ERROR(layer);
      out.layers_.emplace_back(std::move(layer).value());
    }
  }
  return out;
}

std::string_view BenchLayers::kernel() const {
  if (const auto* const linear = std::get_if<layers::Linear>(layers_.data()))
    return linear->kernel_for(problem_.num_tokens).name;
  std::string_view kernel;
  std::get<layers::SparseMoe>(layers_.front()).visit_linears([&](const layers::Linear& linear) {
    const bool is_first_projection = linear.weight().num_experts == problem_.num_experts && kernel.empty() &&
                                     linear.out_features() == problem_.intermediate_size;
    if (is_first_projection) kernel = linear.kernel_for(problem_.num_tokens * problem_.top_k).name;
  });
  return kernel;
}

std::size_t BenchLayers::workspace_bytes(std::size_t num_workers) const {
  std::size_t num_bytes = std::visit(
      [&](const auto& layer) { return layer.workspace_bytes(problem_.num_tokens, num_workers); }, layers_.front());
  if (!problem_.is_moe()) return num_bytes;
  std::size_t router_bytes = 0;
  std::get<layers::SparseMoe>(layers_.front()).visit_linears([&](const layers::Linear& linear) {
    if (linear.weight().num_experts != 1) return;
    router_bytes = std::max(router_bytes, linear.workspace_bytes(problem_.num_tokens, num_workers));
  });
  return std::max(num_bytes,
                  router_bytes + Workspace::bytes_for<float>(std::size_t{problem_.num_tokens} * problem_.num_experts));
}

void BenchLayers::run(std::size_t copy_idx, std::span<const float> x, std::span<float> y,
                      const layers::Context& context) const {
  if (const auto* const linear = std::get_if<layers::Linear>(&layers_[copy_idx])) {
    linear->run(x, problem_.num_tokens, y, context);
  } else {
    std::get<layers::SparseMoe>(layers_[copy_idx]).run(x, problem_.num_tokens, y, context);
  }
}

std::vector<std::uint32_t> BenchLayers::chosen_experts(std::span<const float> x, const layers::Context& context) const {
  const auto* const moe = std::get_if<layers::SparseMoe>(layers_.data());
  if (moe == nullptr) return {0};
  const Workspace::Mark mark(context.workspace);
  const std::span<float> logits =
      context.workspace.take<float>(std::size_t{problem_.num_tokens} * problem_.num_experts);
  const layers::Linear* router = nullptr;
  moe->visit_linears([&](const layers::Linear& linear) {
    if (router == nullptr) router = &linear;
  });
  router->run(x, problem_.num_tokens, logits, context);
  std::vector<std::uint32_t> order(problem_.num_experts);
  std::vector<layers::Routing> chosen(problem_.top_k);
  std::vector<bool> is_chosen(problem_.num_experts);
  for (std::size_t t = 0; t < problem_.num_tokens; ++t) {
    layers::choose_experts(logits.subspan(t * problem_.num_experts, problem_.num_experts), true, order, chosen,
                           context);
    for (const layers::Routing& routing : chosen) is_chosen[routing.expert] = true;
  }
  std::vector<std::uint32_t> experts;
  for (std::uint32_t e = 0; e < problem_.num_experts; ++e) {
    if (is_chosen[e]) experts.push_back(e);
  }
  return experts;
}

std::vector<LargeVector<float>> random_inputs(const BenchProblem& problem, std::size_t num_inputs, WorkerPool& pool) {
  constexpr std::size_t kGrain = 1 << 14;
  constexpr double kUnit = 0x1p-32;
  const std::size_t num_values = problem.num_tokens * problem.input_size();
  std::vector<LargeVector<float>> inputs;
  for (std::size_t input_idx = 0; input_idx < num_inputs; ++input_idx) {
    LargeVector<float>& input = inputs.emplace_back(num_values);
    pool.run_ranges(num_values, kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; ++i) {  // Box and Muller's two uniform numbers
        const std::uint64_t bits = prepare::mix_bits((input_idx << 40U) + i + 1);
        const double radius = std::sqrt(-2 * std::log((static_cast<double>(bits >> 32U) + 1) * kUnit));
        const double angle = 2 * std::numbers::pi * kUnit * static_cast<double>(bits & 0xFFFFFFFFU);
        input[i] = round_to_bf16(static_cast<float>(radius * std::cos(angle)));
      }
    });
  }
  return inputs;
}

}  // namespace nvfp4::apps
