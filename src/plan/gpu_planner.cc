#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/catalogue/device_offers.h"
#include "kernels/catalogue/device_schedule.h"
#include "kernels/catalogue/embedding_catalogue.h"
#include "kernels/catalogue/kernel_choice.h"
#include "layouts/fragment_16x64.h"
#include "plan/cost.h"
#include "plan/layer_planner.h"
#include "plan/measured_choice.h"

namespace nvfp4::plan {
namespace {

using kernels::DeviceLinearOffer;
using kernels::DeviceLinearPlan;
using kernels::DeviceLinearProblem;
using kernels::DeviceMoeOffer;
using kernels::DeviceMoePlan;
using kernels::DeviceWeightLayout;
using kernels::MoeProblem;
using kernels::WeightFormat;

std::string_view layout_name(DeviceWeightLayout layout) {
  switch (layout) {
    case DeviceWeightLayout::kFragment16x64:
      return "fragment_16x64";
    case DeviceWeightLayout::kBlockScaled16x64:
      return "block_scaled_16x64";
    case DeviceWeightLayout::kRowMajor:
      break;
  }
  return "row_major";
}

// Both layouts of NVFP4 have the same size.
std::uint64_t weight_bytes(const Layer& shard) {
  const std::uint64_t rows = shard.out_features;
  const std::uint64_t cols = shard.in_features;
  if (shard.operation == Operation::kExperts) {
    const std::uint64_t up =
        shard.gated() ? Fragment16x64::num_pair_bytes(rows, cols) : Fragment16x64::num_bytes(rows, cols);
    return shard.num_experts * (up + Fragment16x64::num_bytes(cols, rows));
  }
  if (shard.weight == WeightFormat::kNvfp4 && shard.operation == Operation::kLinear) {
    return Fragment16x64::num_bytes(rows, cols);
  }
  const std::uint64_t scales = shard.weight == WeightFormat::kNvfp4 ? rows * cols / shard.block_size : 0;
  return rows * cols * kernels::bits_per_weight(shard.weight) / 8 + scales;
}

std::uint32_t narrow(std::uint64_t size) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(size, std::numeric_limits<std::uint32_t>::max()));
}

// What no kernel for GPUs takes, before kernels are asked; empty otherwise.
std::string refusal_of(const Layer& shard) {
  constexpr std::uint64_t kMaxFeatures = 1U << 24U;  // kernels count steps and blocks with 32 bits
  if (const std::uint64_t most = std::max(shard.out_features, shard.in_features); most > kMaxFeatures) {
    return fmt::format("{} features; at most {} are possible", most, kMaxFeatures);
  }
  if (shard.operation == Operation::kExperts && shard.weight != WeightFormat::kNvfp4) {
    return fmt::format("experts in {}; only nvfp4 is possible", weight_format_name(shard.weight));
  }
  if (shard.operation == Operation::kExperts && shard.has_pre_quant_scale) {
    return "a factor for each column of the experts' inputs; no kernel for experts has one";
  }
  const bool rounds_fp4 = shard.activation == Activation::kNvfp4Static || shard.activation == Activation::kNvfp4Dynamic;
  if (shard.weight == WeightFormat::kNvfp4 && rounds_fp4 && shard.block_size != 16) {
    return fmt::format("blocks of {} columns; NVFP4 activations go with blocks of 16", shard.block_size);
  }
  if (shard.weight == WeightFormat::kNvfp4 && shard.block_size % 16 != 0) {
    return fmt::format("blocks of {} columns; multiples of 16 are possible", shard.block_size);
  }
  return {};
}

// Of a kernel that may not serve whatever the problem.
std::string refusal_of(const Deployment& deployment, std::string_view kernel) {
  for (const RefusedKernel& refused : deployment.refused) {
    if (refused.kernel == kernel) return refused.reason;
  }
  return {};
}

// Empty when the kernel may serve.
template <class Offer, class Problem>
std::string refusal_of(const Offer& offer, const Problem& problem, const DeviceCaps& caps, const Deployment& deployment,
                       std::uint32_t num_tokens) {
  std::string why = offer.refusal(problem, caps, num_tokens);
  return why.empty() ? refusal_of(deployment, offer.name) : why;
}

// Kernels of one layout may take turns; none may where a token's bits must not depend on how many there are.
template <class Offer, class Problem>
std::vector<Candidate> candidates(std::span<const Offer> offers, const Problem& problem, const Gpu& gpu,
                                  const Deployment& deployment) {
  std::vector<Candidate> out;
  for (const Offer& offer : offers) {
    out.push_back({offer.name, std::string(deployment.batch_invariant ? offer.name : layout_name(offer.nvfp4_layout)),
                   [&offer, problem, caps = gpu.caps, may_serve = refusal_of(deployment, offer.name).empty()](
                       std::uint32_t tokens) { return may_serve && offer.refusal(problem, caps, tokens).empty(); }});
  }
  return out;
}

// A layer's kernels and what they are chosen for.
template <class Plan, class Offer, class Problem>
class OfferPlanner {
 public:
  OfferPlanner(std::span<const Offer> offers, const Problem& problem, const Gpu& gpu, const Deployment& deployment,
               const Layer& shard, PlannedLayer& line)
      : offers_(offers), problem_(problem), gpu_(gpu), deployment_(deployment), shard_(shard), line_(line) {}

  // `kernel`: the one that is forced, or empty.
  Status plan(std::string_view kernel, const std::string& where) {
    if (kernel.empty() && deployment_.table != nullptr) choose_by_table();
    auto schedule = ranges_.empty() ? schedule_by_list(kernel, where) : schedule_by_table();
    if (!schedule && !kernel.empty()) return forced_error(schedule.error());
    if (!schedule) {
      for (const Offer& offer : offers_) {
        add_rejection(line_, offer.name, 1, deployment_.max_tokens,
                      refusal_of(offer, problem_, gpu_.caps, deployment_, deployment_.max_tokens));
      }
      return {};
    }
    line_.layout = shard_.weight == WeightFormat::kNvfp4 ? layout_name(schedule->nvfp4_layout()) : "row_major";
    std::uint32_t first = 1;
    for (std::size_t i = 0; i < schedule->ranges().size(); ++i) {
      add_range(schedule->ranges()[i], first, i < ranges_.size() ? ranges_[i].reason : std::string());
      first = schedule->ranges()[i].max_tokens + 1;
    }
    return {};
  }

 private:
  using Schedule = kernels::DeviceSchedule<Offer, Plan>;

  [[nodiscard]] Result<Plan> outline(const Offer& offer, std::uint32_t tokens) const {
    return offer.outline(problem_, gpu_.caps, tokens);
  }
  [[nodiscard]] Result<Schedule> schedule_by_list(std::string_view kernel, const std::string& where) const {
    return Schedule::make(
        deployment_.max_tokens,
        [&](std::uint32_t tokens) {
          return kernels::choose_offer(problem_, gpu_.caps, tokens, where, kernel,
                                       [&](std::string_view name) { return refusal_of(deployment_, name); });
        },
        [&](const Offer& offer, std::uint32_t tokens) { return outline(offer, tokens); });
  }
  [[nodiscard]] Result<Schedule> schedule_by_table() const {
    std::vector<std::pair<std::uint32_t, const Offer*>> chosen;
    chosen.reserve(ranges_.size());
    for (const MeasuredRange& range : ranges_) chosen.emplace_back(range.last_tokens, &offers_[range.candidate_idx]);
    return Schedule::of(chosen, [&](const Offer& offer, std::uint32_t tokens) { return outline(offer, tokens); });
  }

  void choose_by_table() {
    measured_ = deployment_.table->find(measured_problem(shard_, line_.layer, ""));
    if (measured_ == nullptr) return;
    ranges_ = choose_measured(candidates(offers_, problem_, gpu_, deployment_), *measured_, deployment_.max_tokens);
  }

  [[nodiscard]] Error forced_error(Error error) const {
    std::string candidates;
    for (const Offer& offer : offers_) {
      if (!refusal_of(offer, problem_, gpu_.caps, deployment_, deployment_.max_tokens).empty()) continue;
      candidates += fmt::format("{}{}", candidates.empty() ? "" : ", ", offer.name);
    }
    if (error.code == ErrorCode::kUnsupported) {
      error.message += candidates.empty() ? "; no other kernel serves it, either" : "; these serve it: " + candidates;
    }
    return error;
  }

  void add_range(const typename Schedule::Range& range, std::uint32_t first, std::string measured_reason) {
    const Offer& chosen = range.kernel;
    KernelRange out{first, range.max_tokens, std::string(chosen.name), std::move(measured_reason), 0, {}};
    if (out.reason.empty()) {
      out.reason = line_.is_forced                             ? "asked for"
                   : range.max_tokens < deployment_.max_tokens ? "fastest for few tokens"
                                                               : "first that serves it";
    }
    out.workspace_bytes = range.workspace_begin + range.plan.sizes.workspace_bytes;
    for (const std::uint32_t tokens : sampled_tokens(first, range.max_tokens)) {
      out.times.push_back({tokens, time_us(chosen, tokens),
                           chosen.tiling == nullptr ? "" : chosen.tiling(problem_, gpu_.caps, tokens)});
    }
    for (const Offer& offer : offers_) {
      if (offer.name == chosen.name) continue;
      add_rejection(line_, offer.name, first, range.max_tokens, rejection(offer, range.max_tokens, chosen));
    }
    line_.ranges.push_back(std::move(out));
  }

  [[nodiscard]] double time_us(const Offer& offer, std::uint32_t tokens) const {
    const double measured = measured_ == nullptr ? 0 : measured_us(*measured_, offer.name, tokens);
    if (measured > 0) return measured;
    const Work work = work_of(shard_, shard_.activation, line_.layer.num_experts, line_.weight_bytes, tokens);
    if (offer.time_us == nullptr) return gpu_time_us(work, offer.speed(gpu_.caps), gpu_.rates);
    return offer.time_us(problem_, gpu_.caps, tokens) + work.num_roundings * kRoundingUs;
  }

  // Why an offer does not serve these tokens, although another one does.
  [[nodiscard]] std::string rejection(const Offer& offer, std::uint32_t num_tokens, const Offer& chosen) const {
    if (std::string why = refusal_of(offer, problem_, gpu_.caps, deployment_, num_tokens); !why.empty()) return why;
    if (line_.is_forced) return fmt::format("serves it, too; {} was asked for", chosen.name);
    if (!ranges_.empty()) return measured_rejection(*measured_, offer.name, chosen.name, num_tokens);
    if (!is_best(offer, problem_, gpu_.caps, num_tokens)) {
      return fmt::format("serves it, too; {} is faster for more than {} tokens", chosen.name,
                         offer.best_max_tokens(problem_, gpu_.caps));
    }
    return fmt::format("serves it, too; {} comes first", chosen.name);
  }

  std::span<const Offer> offers_;
  const Problem& problem_;
  const Gpu& gpu_;
  const Deployment& deployment_;
  const Layer& shard_;
  PlannedLayer& line_;
  const MeasuredProblem* measured_ = nullptr;
  std::vector<MeasuredRange> ranges_;  // by the table; empty: as the list has them
};

}  // namespace

DeviceLinearProblem device_linear_problem(const Layer& shard, const Deployment& deployment) {
  DeviceLinearProblem problem;
  problem.weight = shard.weight;
  problem.activation = shard.activation;
  problem.input_rule = shard.input_rule;
  problem.out_features = narrow(shard.out_features);
  problem.in_features = narrow(shard.in_features);
  problem.num_shards = shard.num_shards;
  problem.per_row_scale = shard.per_row_scale;
  problem.has_bias = shard.has_bias;
  problem.has_pre_quant_scale = shard.has_pre_quant_scale;
  problem.batch_invariant = deployment.batch_invariant;
  return problem;
}

MoeProblem device_moe_problem(const Layer& shard, const Layer& whole, const Deployment& deployment) {
  MoeProblem problem;
  problem.activation = shard.activation;
  problem.function = shard.function;
  if (shard.swiglu_limit > 0) problem.swiglu_limit = shard.swiglu_limit;
  problem.hidden = narrow(shard.in_features);
  problem.intermediate = narrow(shard.out_features);
  problem.num_experts = shard.num_experts;
  problem.num_global_experts = whole.num_experts;
  problem.top_k = shard.top_k;
  problem.router_weight_on_input = shard.router_weight_on_input;
  problem.input_rule = shard.input_rule;
  problem.one_fc1_input_scale = shard.one_fc1_input_scale;
  problem.batch_invariant = deployment.batch_invariant;
  return problem;
}

std::vector<Candidate> gpu_candidates(const Gpu& gpu, const Deployment& deployment, const Layer& shard,
                                      const Layer& whole) {
  if (!refusal_of(shard).empty()) return {};
  if (shard.operation == Operation::kExperts) {
    return candidates(kernels::device_moe_offers(), device_moe_problem(shard, whole, deployment), gpu, deployment);
  }
  return candidates(kernels::device_linear_offers(), device_linear_problem(shard, deployment), gpu, deployment);
}

Status plan_on_gpu(const Gpu& gpu, const Deployment& deployment, const Layer& shard, std::string_view kernel,
                   const std::string& where, PlannedLayer& line) {
  line.weight_bytes = weight_bytes(shard);
  line.layout = "row_major";
  if (shard.operation == Operation::kEmbedding) {
    const std::string_view name = kernels::embedding_kernel().name;
    line.ranges.push_back({1, deployment.max_tokens, std::string(name), "the CPU looks rows up", 0, {}});
    return {};
  }
  if (std::string why = refusal_of(shard); !why.empty()) {
    if (!kernel.empty()) return Error{ErrorCode::kUnsupported, where, std::move(why)};
    line.rejections.push_back({"any kernel for GPUs", 1, deployment.max_tokens, std::move(why), true});
    return {};
  }
  if (shard.operation == Operation::kExperts) {
    const MoeProblem problem = device_moe_problem(shard, line.layer, deployment);
    return OfferPlanner<DeviceMoePlan, DeviceMoeOffer, MoeProblem>(kernels::device_moe_offers(), problem, gpu,
                                                                   deployment, shard, line)
        .plan(kernel, where);
  }
  const DeviceLinearProblem problem = device_linear_problem(shard, deployment);
  return OfferPlanner<DeviceLinearPlan, DeviceLinearOffer, DeviceLinearProblem>(kernels::device_linear_offers(),
                                                                                problem, gpu, deployment, shard, line)
      .plan(kernel, where);
}

}  // namespace nvfp4::plan
