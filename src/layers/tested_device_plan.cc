#include "layers/tested_device_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "kernels/catalogue/device_catalogue.h"
#include "kernels/catalogue/device_offers.h"
#include "plan/shard.h"

namespace nvfp4::layers {
namespace {

using kernels::DeviceLinearProblem;
using kernels::LinearProblem;
using kernels::MoeProblem;
using kernels::WeightFormat;

constexpr std::uint32_t kBlockSize = 16;

LinearProblem described(const DeviceLinearProblem& problem) {
  const std::uint32_t block_size = problem.weight == WeightFormat::kNvfp4 ? kBlockSize : 0;
  return {problem.weight, problem.activation, problem.out_features, problem.in_features, 1, block_size};
}
LinearProblem described(const MoeProblem& problem) {
  return {WeightFormat::kNvfp4, problem.activation,  problem.intermediate,
          problem.hidden,       problem.num_experts, kBlockSize};
}

// The tests of one run: none is made twice.
class DeviceTests {
 public:
  explicit DeviceTests(const DeviceTestRunner& run) : run_(run) {}

  // `name`: of the problem, the same for those that share a test.
  Status add(const std::string& name, const DeviceTestCase& test, const std::string& layer_kind) {
    const auto [place, is_new] = known_.emplace(fmt::format("{} {}", test.kernel, name), tests_.size());
    if (is_new) {
      const LinearProblem problem = std::visit([](const auto& p) { return described(p); }, test.problem);
      tests_.push_back({test.kernel, problem, {}, 0, 0, {}});
    }
    KernelTest& row = tests_[place->second];
    if (!layer_kind.empty() && std::ranges::find(row.layer_kinds, layer_kind) == row.layer_kinds.end()) {
      row.layer_kinds.push_back(layer_kind);
    }
    if (std::ranges::find(row.num_tokens, test.tokens.num_tokens) != row.num_tokens.end()) return {};
    const auto answer = run_(test);
    NVFP4_RETURN_IF_ERROR(answer);
    // The worst of all numbers of tokens stays.
    if (row.num_tokens.empty() || answer->error * row.tolerance > row.error * answer->tolerance) {
      row.error = answer->error;
      row.tolerance = answer->tolerance;
    }
    row.num_tokens.push_back(test.tokens.num_tokens);
    return {};
  }

  Status add(const plan::Plan& plan) {
    for (const plan::PlannedLayer& line : plan.layers) {
      if (line.layer.operation == plan::Operation::kEmbedding) continue;  // a table lookup computes nothing
      auto shard = plan::shard_of(line.layer, plan.deployment.ranks);
      NVFP4_RETURN_IF_ERROR(shard);
      shard->activation = line.activation;
      DeviceTestCase test;
      if (line.layer.operation == plan::Operation::kExperts) {
        test.problem = plan::device_moe_problem(*shard, line.layer, plan.deployment);
      } else {
        test.problem = plan::device_linear_problem(*shard, plan.deployment);
      }
      const std::string name =
          fmt::format("{} {} {}", line.problem, activation_name(line.activation), static_cast<int>(shard->input_rule));
      for (const plan::KernelRange& range : line.ranges) {
        test.kernel = range.kernel;
        for (const std::uint32_t num_tokens : tested_tokens(range)) {
          test.tokens = {range.last_tokens, num_tokens};
          NVFP4_RETURN_IF_ERROR(add(name, test, line.kind()));
        }
      }
    }
    return {};
  }

  [[nodiscard]] const std::vector<KernelTest>& all() const { return tests_; }

 private:
  // Ascending, different ones.
  static std::vector<std::uint32_t> tested_tokens(const plan::KernelRange& range) {
    std::vector<std::uint32_t> out = {range.first_tokens, range.times[range.times.size() / 2].num_tokens,
                                      range.last_tokens};
    std::vector<std::string> tilings;
    for (const plan::ExpectedTime& time : range.times) {
      if (std::ranges::find(tilings, time.tiling) != tilings.end()) continue;
      tilings.push_back(time.tiling);
      out.push_back(time.num_tokens);
    }
    std::ranges::sort(out);
    const auto rest = std::ranges::unique(out);
    out.erase(rest.begin(), rest.end());
    return out;
  }

  const DeviceTestRunner& run_;
  std::vector<KernelTest> tests_;
  std::map<std::string, std::size_t> known_;
};

template <class Kernel, class Problem>
Result<DeviceAnswer> run_kernel(std::span<const Kernel> kernels, const DeviceTestCase& test, const Problem& problem,
                                const TestDevice& device) {
  const auto found = std::ranges::find(kernels, test.kernel, [](const Kernel& kernel) { return kernel.name; });
  if (found == kernels.end()) {
    return Error{ErrorCode::kNotFound, test.kernel, "this build has no such kernel for GPUs"};
  }
  auto answer = selftest(*found, problem, test.tokens, device);
  if (answer) return answer;
  Error error = std::move(answer).error();
  error.where = fmt::format("kernel {}, {} tokens: {}", test.kernel, test.tokens.num_tokens, error.where);
  return error;
}

constexpr std::array<std::uint32_t, 5> kTokens = {1, 7, 40, 300, 2000};

// `name`: of the problem.
template <class Offer, class Problem>
Status add_all(std::span<const Offer> offers, const Problem& problem, const std::string& name, const DeviceCaps& caps,
               DeviceTests& tests) {
  for (const Offer& offer : offers) {
    for (const std::uint32_t num_tokens : kTokens) {
      if (!offer.refusal(problem, caps, num_tokens).empty()) continue;
      NVFP4_RETURN_IF_ERROR(tests.add(name, {std::string(offer.name), problem, {num_tokens, num_tokens}}, ""));
    }
  }
  return {};
}

}  // namespace

DeviceTestRunner run_on_device(const TestDevice& device) {
  return [&device](const DeviceTestCase& test) {
    if (const auto* const linear = std::get_if<DeviceLinearProblem>(&test.problem)) {
      return run_kernel(kernels::device_linear_kernels(), test, *linear, device);
    }
    return run_kernel(kernels::device_moe_kernels(), test, std::get<MoeProblem>(test.problem), device);
  };
}

Result<TestedPlan> make_tested_device_plan(std::span<const plan::Layer> layers, const plan::Gpu& gpu,
                                           const plan::Deployment& deployment, const DeviceTestRunner& run) {
  DeviceTests tests(run);
  return make_tested_plan(layers, gpu, deployment, [&](const plan::Plan& plan) -> Result<std::span<const KernelTest>> {
    NVFP4_RETURN_IF_ERROR(tests.add(plan));
    return std::span(tests.all());
  });
}

Result<std::vector<KernelTest>> test_all_device_kernels(const DeviceCaps& caps, const DeviceTestRunner& run) {
  DeviceTests tests(run);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic,
                                      Activation::kFp8Static, Activation::kFp8Dynamic}) {
    for (const WeightFormat weight : {WeightFormat::kNvfp4, WeightFormat::kFp8, WeightFormat::kBF16}) {
      DeviceLinearProblem problem;
      problem.weight = weight;
      problem.activation = activation;
      problem.out_features = 4096;
      problem.in_features = 2048;
      problem.num_shards = weight == WeightFormat::kNvfp4 ? 3 : 1;
      const std::string name = fmt::format("{} {}", weight_format_name(weight), activation_name(activation));
      NVFP4_RETURN_IF_ERROR(add_all(kernels::device_linear_offers(), problem, name, caps, tests));
    }
    for (const auto function : {kernels::ExpertFunction::kSilu, kernels::ExpertFunction::kGeluTanh,
                                kernels::ExpertFunction::kSwigluOai, kernels::ExpertFunction::kRelu2}) {
      MoeProblem problem;
      problem.activation = activation;
      problem.function = function;
      problem.swiglu_limit = 7.0F;
      problem.hidden = 1024;
      problem.intermediate = 512;
      problem.num_experts = 64;
      problem.top_k = 4;
      problem.one_fc1_input_scale = true;
      const std::string name = fmt::format("{} {}", expert_function_name(function), activation_name(activation));
      NVFP4_RETURN_IF_ERROR(add_all(kernels::device_moe_offers(), problem, name, caps, tests));
    }
  }
  return tests.all();
}

}  // namespace nvfp4::layers
