#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/nearest_name.h"
#include "kernels/catalogue/embedding_catalogue.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "layouts/tile_16x64.h"
#include "plan/cost.h"
#include "plan/layer_planner.h"

namespace nvfp4::plan {
namespace {

using kernels::LinearKernel;
using kernels::LinearProblem;
using kernels::WeightFormat;
using kernels::WeightLayout;

std::uint64_t weight_bytes(const LinearProblem& problem, WeightLayout layout) {
  const std::uint64_t sizes = problem.out_features * problem.in_features;
  if (layout == WeightLayout::kTile16x64) {
    return problem.num_experts * Tile16x64::num_bytes(problem.out_features, problem.in_features);
  }
  const std::uint64_t scales = problem.weight == WeightFormat::kNvfp4 ? sizes / problem.block_size : 0;
  return problem.num_experts * (sizes * kernels::bits_per_weight(problem.weight) / 8 + scales);
}

// What no layer of processors does, whatever its kernels; empty otherwise.
std::string refusal_of(const Layer& shard) {
  if (shard.operation != Operation::kExperts) return {};
  if (shard.function == kernels::ExpertFunction::kSwigluOai)
    return "swigluoai experts; silu, gelu_tanh and relu2 are possible";
  if (shard.has_pre_quant_scale) return "a factor for each column of the experts' inputs; no layer of experts has one";
  if (shard.router_weight_on_input) return "the router's weights on the experts' inputs; they are possible on outputs";
  return {};
}

// A line for one projection costs its part of the experts.
double time_us(const Layer& shard, const PlannedLayer& line, const LinearKernel& kernel, const Cpu& cpu,
               std::uint32_t tokens) {
  Work work = work_of(shard, shard.activation, line.layer.num_experts, line.weight_bytes, tokens);
  if (!line.projection.empty()) work.products /= shard.gated() ? 3 : 2;
  return cpu_time_us(work, shard, shard.activation, kernel.needs, cpu);
}

// Empty when the kernel may serve.
std::string refusal_of(const LinearKernel& kernel, const LinearProblem& problem, const Cpu& cpu,
                       const Deployment& deployment) {
  std::string why = linear_kernel_refusal(kernel, problem, cpu.instruction_set);
  if (!why.empty()) return why;
  for (const RefusedKernel& refused : deployment.refused) {
    if (refused.kernel == kernel.name) return refused.reason;
  }
  return why;
}

Error forced_kernel_refuses(const std::string& where, std::string_view name, const std::string& why,
                            const LinearProblem& problem, const Cpu& cpu, const Deployment& deployment) {
  std::vector<std::string_view> names;
  std::string candidates;
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    names.push_back(kernel.name);
    if (!refusal_of(kernel, problem, cpu, deployment).empty()) continue;
    candidates += fmt::format("{}{}", candidates.empty() ? "" : ", ", kernel.name);
  }
  if (why.empty()) {
    return Error{ErrorCode::kInvalidArgument, where,
                 fmt::format("no kernel for processors is called \"{}\"; {}", name, suggestion(name, names))};
  }
  return Error{ErrorCode::kUnsupported, where, fmt::format("{}; these serve it: {}", why, candidates)};
}

}  // namespace

// A projection of experts is a grouped linear layer.
LinearProblem linear_problem(const Layer& shard, std::string_view projection) {
  LinearProblem problem;
  problem.weight = shard.weight;
  problem.activation = shard.activation;
  problem.out_features = shard.out_features;
  problem.in_features = shard.in_features;
  if (projection == "down_proj") std::swap(problem.out_features, problem.in_features);
  problem.num_experts = shard.num_experts;
  problem.block_size = shard.block_size;
  problem.odd_scales = shard.odd_scales;
  return problem;
}

Status plan_on_cpu(const Cpu& cpu, const Deployment& deployment, const Layer& shard, std::string_view kernel,
                   const std::string& where, PlannedLayer& line) {
  const LinearProblem problem = linear_problem(shard, line.projection);
  line.layout = "row_major";
  line.weight_bytes = weight_bytes(problem, WeightLayout::kRowMajor);
  if (shard.operation == Operation::kEmbedding) {
    const std::string_view name = kernels::embedding_kernel().name;
    line.ranges.push_back({1, deployment.max_tokens, std::string(name), "table lookup", 0, {}});
    return {};
  }
  if (std::string why = refusal_of(shard); !why.empty()) {
    if (!kernel.empty()) return Error{ErrorCode::kUnsupported, where, std::move(why)};
    line.rejections.push_back({"any kernel for processors", 1, deployment.max_tokens, std::move(why), true});
    return {};
  }
  const LinearKernel* chosen = nullptr;
  std::string forced_refusal;
  std::size_t num_accepting = 0;
  for (const LinearKernel& candidate : kernels::linear_kernels()) {
    std::string why = refusal_of(candidate, problem, cpu, deployment);
    const bool accepts = why.empty();
    num_accepting += accepts ? 1 : 0;
    const bool is_meant = kernel.empty() || candidate.name == kernel;
    if (accepts && is_meant && chosen == nullptr) {
      chosen = &candidate;
      continue;
    }
    if (!kernel.empty() && is_meant) forced_refusal = why;
    if (accepts)
      why = kernel.empty() ? fmt::format("serves it, too; {} comes first", chosen->name)
                           : "serves it, too; another was asked for";
    add_rejection(line, candidate.name, 1, deployment.max_tokens, std::move(why));
  }
  if (chosen == nullptr) {
    if (kernel.empty()) return {};
    return forced_kernel_refuses(where, kernel, forced_refusal, problem, cpu, deployment);
  }
  line.layout = chosen->layout == WeightLayout::kTile16x64 ? "tile_16x64" : "row_major";
  line.weight_bytes = weight_bytes(problem, chosen->layout);
  KernelRange range{1, deployment.max_tokens, std::string(chosen->name), "", 0, {}};
  range.reason = !kernel.empty()      ? "asked for"
                 : num_accepting == 1 ? "the only one that serves it"
                                      : fmt::format("the first of {} that serve it", num_accepting);
  range.workspace_bytes = chosen->workspace_bytes(problem, deployment.max_tokens, cpu.num_workers);
  for (const std::uint32_t tokens : sampled_tokens(1, deployment.max_tokens)) {
    range.times.push_back({tokens, time_us(shard, line, *chosen, cpu, tokens), ""});
  }
  line.ranges.push_back(std::move(range));
  return {};
}

}  // namespace nvfp4::plan
