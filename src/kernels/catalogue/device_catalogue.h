// Every kernel for GPUs of this build, best first: the first one that accepts a problem on a device serves it. A build
// without CUDA has none.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_pack.h"
#include "kernels/contract/device_peak.h"
#include "kernels/contract/device_random.h"
#include "kernels/contract/device_routing.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

[[nodiscard]] std::span<const DeviceMoeKernel> device_moe_kernels();
[[nodiscard]] std::span<const DeviceLinearKernel> device_linear_kernels();
[[nodiscard]] std::span<const DeviceRouterKernel> device_router_kernels();
// Loops that measure ceilings: the fastest that a device accepts counts.
[[nodiscard]] std::span<const DeviceReadLoop> device_read_loops();
[[nodiscard]] std::span<const DeviceMultiplyLoop> device_multiply_loops();
// Null without CUDA.
[[nodiscard]] const FragmentPacker* device_fragment_packer();
// Into the layout that a kernel reads NVFP4 weights in (its nvfp4_layout); null for kRowMajor, too.
[[nodiscard]] const FragmentPacker* device_packer(DeviceWeightLayout layout);
[[nodiscard]] const DeviceRandom* device_random();

// The first kernel that accepts and is best for so many tokens; if there is none, the first that accepts; or an Error
// with every kernel's refusal. `where` names the layer. kernel_name, unless
// it is empty: that kernel and no other.
[[nodiscard]] Result<const DeviceMoeKernel*> choose_device_moe(const MoeProblem& problem, const DeviceCaps& caps,
                                                               std::uint32_t max_tokens, const std::string& where,
                                                               std::string_view kernel_name = {});
[[nodiscard]] Result<const DeviceLinearKernel*> choose_device_linear(const DeviceLinearProblem& problem,
                                                                     const DeviceCaps& caps, std::uint32_t max_tokens,
                                                                     const std::string& where,
                                                                     std::string_view kernel_name = {});
[[nodiscard]] Result<const DeviceRouterKernel*> choose_device_router(const RouterProblem& problem,
                                                                     const DeviceCaps& caps, const std::string& where,
                                                                     std::string_view kernel_name = {});

}  // namespace nvfp4::kernels
