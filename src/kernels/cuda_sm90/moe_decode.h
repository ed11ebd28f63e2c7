// Mixture-of-experts layers with NVFP4 weights for few tokens: the kernels for up to kMaxMoeDecodeTokens of them.
#pragma once

#include <cstdint>

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kMaxMoeDecodeTokens = 64;

// "moe_nvfp4_bf16_mma_bulk"
[[nodiscard]] const DeviceMoeKernel& moe_nvfp4_bf16_mma_bulk();

}  // namespace nvfp4::kernels::cuda_sm90
