#include "kernels/cuda_sm120/offers.h"

#include <algorithm>
#include <string>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm120/fp4_device.h"
#include "kernels/cuda_sm120/moe_workspace.h"

namespace nvfp4::kernels::cuda_sm120 {
namespace {

DeviceSpeed linear_speed(const DeviceCaps& /*caps*/) { return {0.75, 0.5, 0.1, 3.5, true}; }
DeviceSpeed expert_speed(const DeviceCaps& /*caps*/) { return {0.65, 0.4, 0.3, 12, true}; }

std::size_t aligned(std::size_t num_bytes) {
  return (num_bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

std::string refuse_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t /*max_tokens*/) {
  if (std::string reason = fp4_device_refusal(caps); !reason.empty()) return reason;
  if (problem.weight != WeightFormat::kNvfp4) return "only for nvfp4 weights";
  if (problem.activation != Activation::kNvfp4Static && problem.activation != Activation::kNvfp4Dynamic) {
    return "only for nvfp4 activations";
  }
  if (std::string reason = device_linear_limits_refusal(problem); !reason.empty()) return reason;
  if (problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  return {};
}

DeviceLinearPlan outline_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  const Fp4Needs needs = fp4_needs(linear_layer(problem, caps.num_sms), max_tokens);
  plan.sizes.zeroed_bytes = aligned(needs.num_arrivals * sizeof(std::uint32_t));
  plan.sizes.workspace_bytes = linear_places(plan).parts_at + needs.part_floats * sizeof(float);
  return plan;
}

std::string linear_tiling(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  const Fp4Choice choice = choose_fp4(linear_layer(problem, caps.num_sms), num_tokens);
  return tiling_text(choice.shape().rows(), choice.shape().tokens(), choice.num_splits);
}
std::string expert_tiling(const MoeProblem& problem, const DeviceCaps& /*caps*/, std::uint32_t num_tokens) {
  const Fp4Shape& shape =
      kFp4Shapes[choose_expert_shape(num_tokens * problem.top_k, problem.num_experts, problem.batch_invariant)];
  return tiling_text(shape.rows(), shape.tokens());
}

std::string refuse_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t /*max_tokens*/) {
  if (std::string reason = fp4_device_refusal(caps); !reason.empty()) return reason;
  if (problem.activation == Activation::k16Bit) return "only for nvfp4 activations";
  if (std::string reason = moe_limits_refusal(problem); !reason.empty()) return reason;
  const std::uint32_t most = std::max({problem.hidden, problem.intermediate, problem.shared_intermediate});
  if (most > kMaxQuantizedFeatures) {
    return "activations of at most " + std::to_string(kMaxQuantizedFeatures) + " features can be rounded";
  }
  return {};
}

// Pieces of equal size, none of which has more partial results than this.
std::uint32_t tokens_at_once(const MoeProblem& problem, std::uint32_t max_tokens) {
  constexpr std::uint64_t kMaxPartialBytes = std::uint64_t{256} << 20U;
  constexpr std::uint64_t kLeastTokens = 1024;  // fewer would leave tiles empty
  const std::uint64_t bytes_of_token = std::uint64_t{problem.top_k} * problem.hidden * sizeof(float);
  const std::uint64_t most = std::max(kLeastTokens, kMaxPartialBytes / bytes_of_token);
  const std::uint64_t num_pieces = std::max<std::uint64_t>(1, (max_tokens + most - 1) / most);
  return static_cast<std::uint32_t>((max_tokens + num_pieces - 1) / num_pieces);
}

DeviceMoePlan outline_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceMoePlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.choice[0] = tokens_at_once(problem, max_tokens);
  plan.sizes.workspace_bytes = MoeWorkspace(problem, plan.sizes.choice[0], nullptr).num_bytes;
  return plan;
}

}  // namespace

Fp4Layer linear_layer(const DeviceLinearProblem& problem, std::uint32_t num_sms) {
  return {problem.out_features, problem.in_features, num_sms, problem.batch_invariant};
}

LinearPlaces linear_places(const DeviceLinearPlan& plan) {
  LinearPlaces places{};
  places.codes_at = plan.sizes.zeroed_bytes;
  const std::size_t codes = QuantizedRows256::num_bytes(plan.sizes.max_tokens, plan.problem.in_features);
  places.factors_at = places.codes_at + aligned(codes);
  places.parts_at = places.factors_at + aligned(plan.sizes.max_tokens * sizeof(float));
  return places;
}

const DeviceLinearOffer& linear_nvfp4_nvfp4_mma_offer() {
  static constexpr DeviceLinearOffer kOffer =
      with_tiling(DeviceLinearOffer{"linear_nvfp4_nvfp4_mma", refuse_linear, outline_linear, linear_speed, nullptr,
                                    DeviceWeightLayout::kBlockScaled16x64},
                  linear_tiling);
  return kOffer;
}

const DeviceMoeOffer& moe_nvfp4_nvfp4_mma_offer() {
  static constexpr DeviceMoeOffer kOffer =
      with_tiling(DeviceMoeOffer{"moe_nvfp4_nvfp4_mma", refuse_moe, outline_moe, expert_speed, nullptr,
                                 DeviceWeightLayout::kBlockScaled16x64},
                  expert_tiling);
  return kOffer;
}

}  // namespace nvfp4::kernels::cuda_sm120
