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

DeviceLinearProblem linear_problem(const Layer& shard, const Deployment& deployment) {
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

MoeProblem moe_problem(const Layer& shard, const Layer& whole, const Deployment& deployment) {
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

// Why an offer does not serve these tokens, although another one does.
template <class Offer, class Problem>
std::string rejection_of(const Offer& offer, const Problem& problem, const DeviceCaps& caps, std::uint32_t num_tokens,
                         std::string_view chosen, bool is_forced) {
  if (std::string why = offer.refusal(problem, caps, num_tokens); !why.empty()) return why;
  if (is_forced) return fmt::format("serves it, too; {} was asked for", chosen);
  if (num_tokens > offer.best_max_tokens) {
    return fmt::format("serves it, too; {} is faster for more than {} tokens", chosen, offer.best_max_tokens);
  }
  return fmt::format("serves it, too; {} comes first", chosen);
}

template <class Plan, class Offer, class Problem>
Status plan_with(std::span<const Offer> offers, const Problem& problem, const Gpu& gpu, const Deployment& deployment,
                 const Layer& shard, std::string_view kernel, const std::string& where, PlannedLayer& line) {
  const DeviceCaps& caps = gpu.caps;
  const auto schedule = kernels::DeviceSchedule<Offer, Plan>::make(
      deployment.max_tokens,
      [&](std::uint32_t tokens) { return kernels::choose_offer(problem, caps, tokens, where, kernel); },
      [&](const Offer& offer, std::uint32_t tokens) -> Result<Plan> { return offer.outline(problem, caps, tokens); });
  if (!schedule && !kernel.empty()) {
    std::string candidates;
    for (const Offer& offer : offers) {
      if (!offer.refusal(problem, caps, deployment.max_tokens).empty()) continue;
      candidates += fmt::format("{}{}", candidates.empty() ? "" : ", ", offer.name);
    }
    Error error = schedule.error();
    if (error.code == ErrorCode::kUnsupported) {
      error.message += candidates.empty() ? "; no other kernel serves it, either" : "; these serve it: " + candidates;
    }
    return error;
  }
  if (!schedule) {
    for (const Offer& offer : offers) {
      add_rejection(line, offer.name, 1, deployment.max_tokens, offer.refusal(problem, caps, deployment.max_tokens));
    }
    return {};
  }
  line.layout = shard.weight == WeightFormat::kNvfp4 ? layout_name(schedule->nvfp4_layout()) : "row_major";
  std::uint32_t first = 1;
  for (const auto& range : schedule->ranges()) {
    const Offer& chosen = range.kernel;
    KernelRange out{first, range.max_tokens, std::string(chosen.name), "", 0, {}};
    out.reason = line.is_forced                             ? "asked for"
                 : range.max_tokens < deployment.max_tokens ? "fastest for few tokens"
                                                            : "first that serves it";
    out.workspace_bytes = range.workspace_begin + range.plan.sizes.workspace_bytes;
    for (const std::uint32_t tokens : sampled_tokens(first, range.max_tokens)) {
      const Work work = work_of(shard, shard.activation, line.layer.num_experts, line.weight_bytes, tokens);
      const double us = chosen.time_us == nullptr
                            ? gpu_time_us(work, chosen.speed(caps), gpu.rates)
                            : chosen.time_us(problem, caps, tokens) + work.num_roundings * kRoundingUs;
      out.times.push_back({tokens, us, chosen.tiling == nullptr ? "" : chosen.tiling(problem, caps, tokens)});
    }
    for (const Offer& offer : offers) {
      if (offer.name == chosen.name) continue;
      add_rejection(line, offer.name, first, range.max_tokens,
                    rejection_of(offer, problem, caps, range.max_tokens, chosen.name, line.is_forced));
    }
    line.ranges.push_back(std::move(out));
    first = range.max_tokens + 1;
  }
  return {};
}

}  // namespace

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
    return plan_with<DeviceMoePlan>(kernels::device_moe_offers(), moe_problem(shard, line.layer, deployment), gpu,
                                    deployment, shard, kernel, where, line);
  }
  return plan_with<DeviceLinearPlan>(kernels::device_linear_offers(), linear_problem(shard, deployment), gpu,
                                     deployment, shard, kernel, where, line);
}

}  // namespace nvfp4::plan
