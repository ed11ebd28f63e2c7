// What is known without CUDA of this room's kernels for many tokens.
#pragma once

#include <cstdint>

#include "kernels/contract/device_offer.h"

namespace nvfp4::kernels::cuda_sm90 {

[[nodiscard]] const DeviceLinearOffer& linear_nvfp4_bf16_wgmma_offer();
[[nodiscard]] const DeviceMoeOffer& moe_nvfp4_bf16_wgmma_offer();

// Of a block, at least; of activations that a kernel can find.
inline constexpr std::uint64_t kLinearWgmmaSharedBytes = 229472;
inline constexpr std::uint64_t kMoeWgmmaSharedBytes = 229472;
inline constexpr std::uint64_t kMoeWgmmaMaxRowNumbers = std::uint64_t{1} << 32;

}  // namespace nvfp4::kernels::cuda_sm90
