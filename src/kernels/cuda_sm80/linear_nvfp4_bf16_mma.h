// Linear layers with NVFP4 weights on every GPU since compute capability 8.0, for any number of tokens.
#pragma once

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm80 {

// "linear_nvfp4_bf16_mma"
[[nodiscard]] const DeviceLinearKernel& linear_nvfp4_bf16_mma();

}  // namespace nvfp4::kernels::cuda_sm80
