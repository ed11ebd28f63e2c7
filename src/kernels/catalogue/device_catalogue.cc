#include "kernels/catalogue/device_catalogue.h"

#include <algorithm>

#include "kernels/catalogue/device_offers.h"
#include "kernels/catalogue/kernel_choice.h"

namespace nvfp4::kernels {
namespace {

// The kernel of this build that an offer is of. Builds without CUDA have none.
template <class Kernel, class Offer>
Result<const Kernel*> kernel_of_offer(std::span<const Kernel> kernels, const Result<const Offer*>& offer,
                                      const std::string& where, std::string_view kernel_name) {
  if (kernels.empty()) return no_such_kernel(kernels, where, kernel_name);
  if (!offer) return offer.error();
  const auto found =
      std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& kernel) { return kernel.name == (*offer)->name; });
  if (found == kernels.end()) return no_such_kernel(kernels, where, (*offer)->name);
  return &*found;
}

}  // namespace

Result<const DeviceMoeKernel*> choose_device_moe(const MoeProblem& problem, const DeviceCaps& caps,
                                                 std::uint32_t max_tokens, const std::string& where,
                                                 std::string_view kernel_name) {
  return kernel_of_offer(device_moe_kernels(), choose_offer(problem, caps, max_tokens, where, kernel_name), where,
                         kernel_name);
}

Result<const DeviceLinearKernel*> choose_device_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                                       std::uint32_t max_tokens, const std::string& where,
                                                       std::string_view kernel_name) {
  return kernel_of_offer(device_linear_kernels(), choose_offer(problem, caps, max_tokens, where, kernel_name), where,
                         kernel_name);
}

Result<const DeviceRouterKernel*> choose_device_router(const RouterProblem& problem, const DeviceCaps& caps,
                                                       const std::string& where, std::string_view kernel_name) {
  const std::string what =
      fmt::format("a choice of {} from {} experts on {}", problem.top_k, problem.num_experts, device_text(caps));
  return choose_kernel(
      device_router_kernels(), what, where, kernel_name,
      [&](const DeviceRouterKernel& kernel) { return kernel.refusal(problem, caps); },
      [](const DeviceRouterKernel& /*kernel*/) { return true; });
}

}  // namespace nvfp4::kernels
