// Linear layers with NVFP4 weights and NVFP4 activations by the FP4 tensor cores of SM120 and SM121, for any number of
// tokens.
#pragma once

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm120 {

// "linear_nvfp4_nvfp4_mma"
[[nodiscard]] const DeviceLinearKernel& linear_nvfp4_nvfp4_mma();

}  // namespace nvfp4::kernels::cuda_sm120
