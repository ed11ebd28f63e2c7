// Mixture-of-experts layers with NVFP4 weights on every GPU since compute capability 8.0, for any number of tokens.
#pragma once

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels::cuda_sm80 {

// "moe_nvfp4_bf16_mma"
[[nodiscard]] const DeviceMoeKernel& moe_nvfp4_bf16_mma();

}  // namespace nvfp4::kernels::cuda_sm80
