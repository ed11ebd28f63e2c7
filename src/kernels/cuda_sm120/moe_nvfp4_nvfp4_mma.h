// Experts with NVFP4 weights and NVFP4 activations by the FP4 tensor cores of SM120 and SM121, for any number of
// tokens.
#pragma once

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels::cuda_sm120 {

// "moe_nvfp4_nvfp4_mma"
[[nodiscard]] const DeviceMoeKernel& moe_nvfp4_nvfp4_mma();

}  // namespace nvfp4::kernels::cuda_sm120
