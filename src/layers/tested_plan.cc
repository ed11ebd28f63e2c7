#include "layers/tested_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <utility>

#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::layers {
namespace {

using kernels::LinearKernel;
using kernels::LinearProblem;
using kernels::WeightFormat;

// What tests are the same for.
std::string key_of(std::string_view kernel, const LinearProblem& problem) {
  return fmt::format("{} {} {} {} {} {}", kernel, weight_format_name(problem.weight),
                     activation_name(problem.activation), problem.in_features, problem.block_size,
                     problem.num_experts > 1);
}

// The tests of one run: none is made twice.
class Tests {
 public:
  explicit Tests(WorkerPool& pool) : pool_(pool) {}

  Status add(const LinearKernel& kernel, const LinearProblem& problem, const std::string& layer_kind) {
    const auto [place, is_new] = known_.emplace(key_of(kernel.name, problem), tests_.size());
    if (is_new) {
      const auto error = selftest(kernel, problem, pool_);
      NVFP4_RETURN_IF_ERROR(error);
      tests_.push_back({std::string(kernel.name), problem, {}, *error, kSelftestTolerance, {}});
    }
    std::vector<std::string>& kinds = tests_[place->second].layer_kinds;
    if (!layer_kind.empty() && std::find(kinds.begin(), kinds.end(), layer_kind) == kinds.end()) {
      kinds.push_back(layer_kind);
    }
    return {};
  }

  Status add(const plan::Plan& plan) {
    for (const plan::PlannedLayer& line : plan.layers) {
      plan::Layer layer = line.layer;
      layer.activation = line.activation;
      for (const plan::KernelRange& range : line.ranges) {
        const LinearKernel* const kernel = kernels::find_linear_kernel(range.kernel);
        if (kernel == nullptr) continue;  // a table lookup computes nothing
        NVFP4_RETURN_IF_ERROR(add(*kernel, plan::linear_problem(layer, line.projection), line.kind()));
      }
    }
    return {};
  }

  [[nodiscard]] const std::vector<KernelTest>& all() const { return tests_; }

 private:
  WorkerPool& pool_;
  std::vector<KernelTest> tests_;
  std::map<std::string, std::size_t> known_;
};

// Whether there is one more than before.
bool refuse_wrong_ones(std::span<const KernelTest> tests, std::vector<plan::RefusedKernel>& refused) {
  const std::size_t num_before = refused.size();
  for (const KernelTest& test : tests) {
    const auto is_same = [&](const plan::RefusedKernel& known) { return known.kernel == test.kernel; };
    if (test.passed() || std::any_of(refused.begin(), refused.end(), is_same)) continue;
    refused.push_back(
        {test.kernel, fmt::format("computed a wrong answer here (relative error {:.1e} at {} columns of "
                                  "{} weights with {} activations)",
                                  test.error, test.problem.in_features, weight_format_name(test.problem.weight),
                                  activation_name(test.problem.activation))});
  }
  return refused.size() > num_before;
}

}  // namespace

Result<TestedPlan> make_tested_plan(std::span<const plan::Layer> layers, const plan::Machine& machine,
                                    plan::Deployment deployment, const TestPlan& test) {
  double ms = 0;
  while (true) {
    auto plan = plan::make_plan(layers, machine, deployment);
    NVFP4_RETURN_IF_ERROR(plan);
    const auto began = std::chrono::steady_clock::now();
    const auto tests = test(*plan);
    NVFP4_RETURN_IF_ERROR(tests);
    ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
    if (!refuse_wrong_ones(*tests, deployment.refused)) {
      return TestedPlan{std::move(*plan), {tests->begin(), tests->end()}, ms};
    }
  }
}

Result<TestedPlan> make_tested_plan(std::span<const plan::Layer> layers, const plan::Machine& machine,
                                    plan::Deployment deployment, WorkerPool& pool) {
  Tests tests(pool);
  return make_tested_plan(layers, machine, std::move(deployment),
                          [&](const plan::Plan& plan) -> Result<std::span<const KernelTest>> {
                            NVFP4_RETURN_IF_ERROR(tests.add(plan));
                            return std::span(tests.all());
                          });
}

std::vector<std::string> refusal_lines(const plan::Plan& plan) {
  std::vector<std::string> lines;
  for (const plan::RefusedKernel& refused : plan.deployment.refused) {
    std::vector<std::string> serving;
    for (const plan::PlannedLayer& line : plan.layers) {
      const auto is_it = [&](const plan::Rejection& rejection) {
        return rejection.kernel == refused.kernel && rejection.reason == refused.reason;
      };
      if (std::none_of(line.rejections.begin(), line.rejections.end(), is_it)) continue;
      for (const plan::KernelRange& range : line.ranges) {
        if (std::find(serving.begin(), serving.end(), range.kernel) == serving.end()) serving.push_back(range.kernel);
      }
    }
    lines.push_back(
        fmt::format("kernel {} {}: refused; {} in its place", refused.kernel, refused.reason,
                    serving.empty() ? "nothing serves" : fmt::format("{} serves", fmt::join(serving, ", "))));
  }
  return lines;
}

Result<std::vector<KernelTest>> test_all_kernels(InstructionSet instruction_set, WorkerPool& pool) {
  constexpr std::uint64_t kRows = 4096;
  constexpr std::uint64_t kColumns = 2048;
  constexpr std::uint32_t kExperts = 128;
  Tests tests(pool);
  LinearProblem problem;
  problem.out_features = kRows;
  problem.in_features = kColumns;
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    for (const WeightFormat weight :
         {WeightFormat::kNvfp4, WeightFormat::kFp8, WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kF32}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic,
                                          Activation::kFp8Static, Activation::kFp8Dynamic}) {
        for (const std::uint32_t num_experts : {1U, kExperts}) {
          problem.weight = weight;
          problem.activation = activation;
          problem.num_experts = num_experts;
          problem.block_size = weight == WeightFormat::kNvfp4 ? 16 : 0;
          if (!linear_kernel_refusal(kernel, problem, instruction_set).empty()) continue;
          NVFP4_RETURN_IF_ERROR(tests.add(kernel, problem, ""));
        }
      }
    }
  }
  return tests.all();
}

}  // namespace nvfp4::layers
