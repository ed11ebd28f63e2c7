#include "kernels/cuda_sm90/decode_offers.h"

#include <algorithm>
#include <string>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_decode_choice.h"
#include "kernels/cuda_sm90/moe_decode.h"
#include "kernels/cuda_sm90/moe_decode_places.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

DeviceSpeed linear_speed(const DeviceCaps& /*caps*/) { return {0.63, 0.1, 0.2, 2.3}; }
DeviceSpeed expert_speed(const DeviceCaps& /*caps*/) { return {0.66, 0.2, 0.3, 5}; }

// wgmma takes 16 tokens in the same time as one. Rows take shared memory from weights; as measured on an H200, that
// matters most where a multiprocessor has a few items.
std::uint32_t best_linear_tokens(const DeviceLinearProblem& problem, const DeviceCaps& caps) {
  constexpr std::uint64_t kMost = 8;
  const double items = static_cast<double>(problem.out_features) / 16 / caps.num_sms;
  const std::uint64_t row_bytes = std::uint64_t{2} * problem.in_features;
  const std::uint64_t most_bytes = items <= 2 ? 112U << 10 : items < 8 ? 78U << 10 : 128U << 10;
  const std::uint64_t fewest = 2 * row_bytes <= 116U << 10 ? 2 : 1;
  return static_cast<std::uint32_t>(std::clamp(most_bytes / row_bytes, fewest, kMost));
}

std::string refuse_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (problem.weight != WeightFormat::kNvfp4) return "only for nvfp4 weights";
  if (std::string reason = device_linear_limits_refusal(problem); !reason.empty()) return reason;
  if (problem.batch_invariant) return "a token's last bits depend on how many tokens there are";
  if (max_tokens > kMaxLinearDecodeTokens) {
    return std::to_string(max_tokens) + " tokens; at most " + std::to_string(kMaxLinearDecodeTokens) + " are possible";
  }
  if (is_rounded(problem) && problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  const DevicePlanSizes sizes = decode_sizes(caps, max_tokens);
  for (std::uint32_t num_tokens = 1; num_tokens <= max_tokens; ++num_tokens) {
    if (choose_linear_decode(problem, sizes, num_tokens).pipe.slots != 0) continue;
    return std::to_string(num_tokens) + " tokens of " + std::to_string(problem.in_features) +
           " input features do not fit into shared memory";
  }
  return {};
}

DeviceLinearPlan outline_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, decode_sizes(caps, max_tokens)};
  if (!is_rounded(problem)) return plan;
  plan.sizes.workspace_bytes = decode_value_bytes(problem, max_tokens) + max_tokens * sizeof(float);
  return plan;
}

std::string refuse_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (std::string reason = moe_limits_refusal(problem); !reason.empty()) return reason;
  if (problem.batch_invariant) return "a token's last bits depend on how many tokens there are";
  if (max_tokens > kMaxMoeDecodeTokens) {
    return std::to_string(max_tokens) + " tokens; at most " + std::to_string(kMaxMoeDecodeTokens) + " are possible";
  }
  if (max_tokens * problem.top_k > kMaxDecodePairs) {
    return std::to_string(max_tokens) + " tokens of " + std::to_string(problem.top_k) + " experts each; at most " +
           std::to_string(kMaxDecodePairs) + " pairs are possible";
  }
  const DecodeMachine machine{caps.num_sms, decode_memory(decode_sizes(caps, max_tokens))};
  if (!decode_fits(routed_expert(problem), machine, max_tokens) ||
      (problem.shared_intermediate != 0 && !decode_fits(shared_expert(problem), machine, max_tokens))) {
    return "the activations of so many features do not fit into shared memory";
  }
  return {};
}

DeviceMoePlan outline_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceMoePlan plan{problem, decode_sizes(caps, max_tokens)};
  plan.sizes.workspace_bytes = MoeDecodePlaces(problem, max_tokens, nullptr).num_bytes;
  return plan;
}

}  // namespace

const DeviceLinearOffer& linear_nvfp4_bf16_mma_bulk_offer() {
  static constexpr DeviceLinearOffer kOffer = [] {
    DeviceLinearOffer offer{"linear_nvfp4_bf16_mma_bulk", refuse_linear, outline_linear, linear_speed,
                            best_linear_tokens};
    offer.version = 3;
    return offer;
  }();
  return kOffer;
}

const DeviceMoeOffer& moe_nvfp4_bf16_mma_bulk_offer() {
  static constexpr DeviceMoeOffer kOffer = [] {
    DeviceMoeOffer offer{"moe_nvfp4_bf16_mma_bulk", refuse_moe, outline_moe, expert_speed};
    offer.version = 3;
    return offer;
  }();
  return kOffer;
}

}  // namespace nvfp4::kernels::cuda_sm90
