// Linear layers with NVFP4 weights for few tokens: the kernel for up to kMaxLinearDecodeTokens of them.
#pragma once

#include <cstdint>

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kMaxLinearDecodeTokens = 64;

// "linear_nvfp4_bf16_mma_bulk"
[[nodiscard]] const DeviceLinearKernel& linear_nvfp4_bf16_mma_bulk();

}  // namespace nvfp4::kernels::cuda_sm90
