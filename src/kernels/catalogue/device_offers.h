// Every kernel for GPUs, best first, as every build knows them: the first one that accepts a problem on a device serves
// it. Plans and runs choose from this list; what can run is what device_catalogue.h has of it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/contract/device_offer.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

[[nodiscard]] std::span<const DeviceMoeOffer> device_moe_offers();
[[nodiscard]] std::span<const DeviceLinearOffer> device_linear_offers();

// Why a kernel may not serve, whatever the problem; empty: it may. No function: all may.
using KernelRefusal = std::function<std::string(std::string_view kernel)>;

// The first that accepts and is best for so many tokens; if there is none, the first that accepts; or an Error with
// every refusal. `where` names the layer. kernel_name, unless it is empty: that kernel and no other.
[[nodiscard]] Result<const DeviceMoeOffer*> choose_offer(const MoeProblem& problem, const DeviceCaps& caps,
                                                         std::uint32_t max_tokens, const std::string& where,
                                                         std::string_view kernel_name = {},
                                                         const KernelRefusal& refusal = {});
[[nodiscard]] Result<const DeviceLinearOffer*> choose_offer(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                                            std::uint32_t max_tokens, const std::string& where,
                                                            std::string_view kernel_name = {},
                                                            const KernelRefusal& refusal = {});

}  // namespace nvfp4::kernels
