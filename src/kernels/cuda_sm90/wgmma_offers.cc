#include "kernels/cuda_sm90/wgmma_offers.h"

#include <algorithm>
#include <string>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"
#include "kernels/cuda_sm90/linear_wgmma_places.h"
#include "kernels/cuda_sm90/moe_wgmma_places.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

DeviceSpeed linear_speed(const DeviceCaps& /*caps*/) { return {0.65, 0.7, 0.5, 3}; }
DeviceSpeed expert_speed(const DeviceCaps& /*caps*/) { return {0.66, 0.53, 0.5, 10}; }

std::string refuse_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t /*max_tokens*/) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (problem.weight != WeightFormat::kNvfp4) return "only for nvfp4 weights";
  if (std::string reason = device_linear_limits_refusal(problem); !reason.empty()) return reason;
  if (is_rounded(problem) && problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  if (caps.shared_bytes_per_block < kLinearWgmmaSharedBytes) return "a block needs more shared memory than there is";
  return {};
}

// Without clusters, of which only the device can tell how many run at once.
DeviceLinearPlan outline_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  const LinearWgmmaPlaces places(problem, caps.num_sms, max_tokens);
  plan.sizes.workspace_bytes = places.num_bytes;
  plan.sizes.zeroed_bytes = places.zeroed_bytes;
  return plan;
}

// As many clusters as multiprocessors could hold, but for what an H200 holds less.
LinearTiling tiling_of(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  LinearSplits splits;
  splits.in_memory = !problem.batch_invariant;
  for (std::size_t i = 0; i < kClusters.size() && !problem.batch_invariant; ++i) {
    const std::uint32_t eighths = kClusters[i] > 2 ? 7 : 8;
    splits.clusters[i] = caps.num_sms / kClusters[i] * eighths / 8;
  }
  return choose_linear_tiling(problem.out_features, problem.in_features, num_tokens, caps.num_sms, splits);
}
double linear_time_us(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  return tiling_of(problem, caps, num_tokens).time_us;
}
std::string linear_tiling(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  const LinearTiling tiling = tiling_of(problem, caps, num_tokens);
  return tiling_text(tiling.kind == 128 ? 256 : 128, tiling.max_columns, tiling.num_splits);
}
std::string expert_tiling(const MoeProblem& problem, const DeviceCaps& /*caps*/, std::uint32_t num_tokens) {
  const std::uint32_t columns = expert_columns(num_tokens * problem.top_k, problem.num_experts);
  return tiling_text(columns == 32 ? 128 : 256, columns);
}

std::string refuse_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (std::string reason = moe_limits_refusal(problem); !reason.empty()) return reason;
  if (std::string reason = rounding_refusal(problem); !reason.empty()) return reason;
  const std::uint64_t pairs = std::uint64_t{max_tokens} * problem.top_k;
  if (pairs * std::max(problem.hidden, problem.intermediate) > kMoeWgmmaMaxRowNumbers) {
    return std::to_string(max_tokens) + " tokens of " + std::to_string(problem.top_k) +
           " experts each have more than 2^32 activations";
  }
  if (caps.shared_bytes_per_block < kMoeWgmmaSharedBytes) {
    return "a block needs " + std::to_string(kMoeWgmmaSharedBytes) + " bytes of shared memory, the device has " +
           std::to_string(caps.shared_bytes_per_block);
  }
  return {};
}

DeviceMoePlan outline_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceMoePlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.workspace_bytes = MoeWgmmaPlaces(problem, max_tokens, nullptr).num_bytes;
  return plan;
}

}  // namespace

const DeviceLinearOffer& linear_nvfp4_bf16_wgmma_offer() {
  static constexpr DeviceLinearOffer kOffer = [] {
    DeviceLinearOffer offer{"linear_nvfp4_bf16_wgmma", refuse_linear, outline_linear, linear_speed};
    offer.time_us = linear_time_us;
    offer.tiling = linear_tiling;
    return offer;
  }();
  return kOffer;
}

const DeviceMoeOffer& moe_nvfp4_bf16_wgmma_offer() {
  static constexpr DeviceMoeOffer kOffer =
      with_tiling(DeviceMoeOffer{"moe_nvfp4_bf16_wgmma", refuse_moe, outline_moe, expert_speed}, expert_tiling);
  return kOffer;
}

}  // namespace nvfp4::kernels::cuda_sm90
