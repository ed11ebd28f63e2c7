#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/nearest_name.h"
#include "kernels/catalogue/embedding_catalogue.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "layouts/tile_16x64.h"
#include "plan/cost.h"
#include "plan/layer_planner.h"
#include "plan/measured_choice.h"

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

// Kernels for tiles give the same bits, so that they may take turns; any other serves all numbers of tokens: a token's
// bits must not depend on how many there are.
std::string turns_group(const LinearKernel& kernel) {
  return kernel.layout == WeightLayout::kTile16x64 ? "tile_16x64" : std::string(kernel.name);
}

class KernelPlanner {
 public:
  KernelPlanner(const Cpu& cpu, const Deployment& deployment, const Layer& shard, const LinearProblem& problem,
                PlannedLayer& line)
      : cpu_(cpu), deployment_(deployment), shard_(shard), problem_(problem), line_(line) {}

  // `kernel`: the one that is forced, or empty.
  Status plan(std::string_view kernel, const std::string& where) {
    for (const LinearKernel& candidate : kernels::linear_kernels()) {
      if (refusal(candidate).empty()) accepting_.push_back(&candidate);
    }
    if (!kernel.empty()) return plan_forced(kernel, where);
    if (deployment_.table != nullptr) plan_by_table();
    if (line_.ranges.empty() && !accepting_.empty()) {
      add_range(*accepting_.front(), 1, deployment_.max_tokens,
                accepting_.size() == 1 ? "the only one that serves it"
                                       : fmt::format("the first of {} that serve it", accepting_.size()));
    }
    reject_others(kernel);
    return {};
  }

 private:
  [[nodiscard]] std::string refusal(const LinearKernel& kernel) const {
    return refusal_of(kernel, problem_, cpu_, deployment_);
  }

  Status plan_forced(std::string_view kernel, const std::string& where) {
    const LinearKernel* const meant = kernels::find_linear_kernel(kernel);
    const std::string why = meant == nullptr ? "" : refusal(*meant);
    if (meant == nullptr || !why.empty()) {
      return forced_kernel_refuses(where, kernel, why, problem_, cpu_, deployment_);
    }
    add_range(*meant, 1, deployment_.max_tokens, "asked for");
    reject_others(kernel);
    return {};
  }

  void plan_by_table() {
    measured_ = deployment_.table->find(measured_problem(shard_, line_.layer, line_.projection));
    if (measured_ == nullptr) return;
    const std::vector<Candidate> candidates = cpu_candidates(cpu_, deployment_, shard_, line_.projection);
    for (const MeasuredRange& range : choose_measured(candidates, *measured_, deployment_.max_tokens)) {
      add_range(*kernels::find_linear_kernel(candidates[range.candidate_idx].kernel), range.first_tokens,
                range.last_tokens, range.reason);
    }
    is_by_table_ = !line_.ranges.empty();
  }

  void add_range(const LinearKernel& kernel, std::uint32_t first, std::uint32_t last, std::string reason) {
    line_.layout = kernel.layout == WeightLayout::kTile16x64 ? "tile_16x64" : "row_major";
    line_.weight_bytes = weight_bytes(problem_, kernel.layout);
    KernelRange range{first, last, std::string(kernel.name), std::move(reason), 0, {}};
    const std::uint64_t rows_of_token = shard_.operation == Operation::kExperts ? shard_.top_k : 1;
    range.workspace_bytes =
        kernel.workspace_bytes(problem_, static_cast<std::uint32_t>(last * rows_of_token), cpu_.num_workers);
    for (const std::uint32_t tokens : sampled_tokens(first, last)) {
      const double measured = measured_ == nullptr ? 0 : measured_us(*measured_, kernel.name, tokens);
      range.times.push_back({tokens, measured > 0 ? measured : time_us(shard_, line_, kernel, cpu_, tokens), ""});
    }
    line_.ranges.push_back(std::move(range));
  }

  // All others, for each range; for all tokens where nothing serves.
  void reject_others(std::string_view forced) {
    const bool is_served = !line_.ranges.empty();
    const std::vector<KernelRange> ranges =
        is_served ? line_.ranges : std::vector<KernelRange>{{1, deployment_.max_tokens, "", "", 0, {}}};
    for (const KernelRange& range : ranges) {
      for (const LinearKernel& candidate : kernels::linear_kernels()) {
        if (candidate.name == range.kernel) continue;
        std::string why = refusal(candidate);
        if (why.empty() && !forced.empty()) why = "serves it, too; another was asked for";
        if (why.empty() && is_by_table_) {
          why = measured_rejection(*measured_, candidate.name, range.kernel, range.last_tokens);
        }
        if (why.empty()) why = fmt::format("serves it, too; {} comes first", range.kernel);
        add_rejection(line_, candidate.name, range.first_tokens, range.last_tokens, std::move(why));
      }
    }
  }

  const Cpu& cpu_;
  const Deployment& deployment_;
  const Layer& shard_;
  const LinearProblem& problem_;
  PlannedLayer& line_;
  std::vector<const LinearKernel*> accepting_;
  const MeasuredProblem* measured_ = nullptr;
  bool is_by_table_ = false;
};

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

std::vector<Candidate> cpu_candidates(const Cpu& cpu, const Deployment& deployment, const Layer& shard,
                                      std::string_view projection) {
  std::vector<Candidate> candidates;
  if (!refusal_of(shard).empty()) return candidates;
  const LinearProblem problem = linear_problem(shard, projection);
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    if (!refusal_of(kernel, problem, cpu, deployment).empty()) continue;
    candidates.push_back({kernel.name, turns_group(kernel), [](std::uint32_t) { return true; }});
  }
  return candidates;
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
  return KernelPlanner(cpu, deployment, shard, problem, line).plan(kernel, where);
}

}  // namespace nvfp4::plan
