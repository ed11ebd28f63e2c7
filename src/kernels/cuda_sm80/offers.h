// What is known of this room's kernels without CUDA.
#pragma once

#include "kernels/contract/device_offer.h"
#include "kernels/cuda_sm80/tile_choice.h"

namespace nvfp4::kernels::cuda_sm80 {

[[nodiscard]] const DeviceLinearOffer& linear_nvfp4_bf16_mma_offer();
[[nodiscard]] const DeviceLinearOffer& linear_fp8_bf16_mma_offer();
[[nodiscard]] const DeviceLinearOffer& linear_bf16_mma_offer();
[[nodiscard]] const DeviceMoeOffer& moe_nvfp4_bf16_mma_offer();

// What choose_fragments() must know of a plan's layer.
[[nodiscard]] TileLayer fragment_layer(const DeviceLinearPlan& plan);

}  // namespace nvfp4::kernels::cuda_sm80
