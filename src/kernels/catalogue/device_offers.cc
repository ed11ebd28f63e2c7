// One line for each kernel, best first.
#include "kernels/catalogue/device_offers.h"

#include <vector>

#include "kernels/catalogue/kernel_choice.h"
#include "kernels/cuda_sm120/offers.h"
#include "kernels/cuda_sm80/offers.h"
#include "kernels/cuda_sm90/decode_offers.h"
#include "kernels/cuda_sm90/wgmma_offers.h"

namespace nvfp4::kernels {
namespace {

template <class Offer, class Problem>
std::string refusal_of(const Offer& offer, const Problem& problem, const DeviceCaps& caps, std::uint32_t max_tokens,
                       const KernelRefusal& refusal) {
  std::string why = offer.refusal(problem, caps, max_tokens);
  return why.empty() && refusal ? refusal(offer.name) : why;
}

}  // namespace

std::span<const DeviceMoeOffer> device_moe_offers() {
  static const std::vector<DeviceMoeOffer> offers = {
      cuda_sm90::moe_nvfp4_bf16_mma_bulk_offer(),  // few tokens
      cuda_sm90::moe_nvfp4_bf16_wgmma_offer(),
      cuda_sm120::moe_nvfp4_nvfp4_mma_offer(),
      cuda_sm80::moe_nvfp4_bf16_mma_offer(),
  };
  return offers;
}

std::span<const DeviceLinearOffer> device_linear_offers() {
  static const std::vector<DeviceLinearOffer> offers = {
      cuda_sm90::linear_nvfp4_bf16_mma_bulk_offer(),  // few tokens
      cuda_sm90::linear_nvfp4_bf16_wgmma_offer(),
      cuda_sm120::linear_nvfp4_nvfp4_mma_offer(),
      cuda_sm80::linear_nvfp4_bf16_mma_offer(),
      cuda_sm80::linear_fp8_bf16_mma_offer(),
      cuda_sm80::linear_bf16_mma_offer(),
  };
  return offers;
}

Result<const DeviceMoeOffer*> choose_offer(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens,
                                           const std::string& where, std::string_view kernel_name,
                                           const KernelRefusal& refusal) {
  const std::string what =
      fmt::format("{} experts [{}, {}] with {} and {} activations, {} tokens, on {}", problem.num_experts,
                  problem.hidden, problem.intermediate, expert_function_name(problem.function),
                  activation_name(problem.activation), max_tokens, device_text(caps));
  return choose_kernel(
      device_moe_offers(), what, where, kernel_name,
      [&](const DeviceMoeOffer& offer) { return refusal_of(offer, problem, caps, max_tokens, refusal); },
      [&](const DeviceMoeOffer& offer) { return is_best(offer, problem, caps, max_tokens); });
}

Result<const DeviceLinearOffer*> choose_offer(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                              std::uint32_t max_tokens, const std::string& where,
                                              std::string_view kernel_name, const KernelRefusal& refusal) {
  const std::string what = fmt::format("{} weights [{}, {}] with {} activations, {} tokens, on {}",
                                       weight_format_name(problem.weight), problem.out_features, problem.in_features,
                                       activation_name(problem.activation), max_tokens, device_text(caps));
  return choose_kernel(
      device_linear_offers(), what, where, kernel_name,
      [&](const DeviceLinearOffer& offer) { return refusal_of(offer, problem, caps, max_tokens, refusal); },
      [&](const DeviceLinearOffer& offer) { return is_best(offer, problem, caps, max_tokens); });
}

}  // namespace nvfp4::kernels
