// What is known without CUDA of this room's kernels for few tokens.
#pragma once

#include "kernels/contract/device_offer.h"

namespace nvfp4::kernels::cuda_sm90 {

[[nodiscard]] const DeviceLinearOffer& linear_nvfp4_bf16_mma_bulk_offer();
[[nodiscard]] const DeviceMoeOffer& moe_nvfp4_bf16_mma_bulk_offer();

}  // namespace nvfp4::kernels::cuda_sm90
