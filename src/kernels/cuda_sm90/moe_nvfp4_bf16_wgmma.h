// Mixture-of-experts layers with NVFP4 weights for many tokens.
#pragma once

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels::cuda_sm90 {

// "moe_nvfp4_bf16_wgmma"
[[nodiscard]] const DeviceMoeKernel& moe_nvfp4_bf16_wgmma();

}  // namespace nvfp4::kernels::cuda_sm90
