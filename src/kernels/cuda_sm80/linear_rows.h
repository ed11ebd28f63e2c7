// Linear layers with FP8 and BF16 weights on every GPU since compute capability 8.0, for any number of tokens.
#pragma once

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm80 {

// "linear_fp8_bf16_mma"
[[nodiscard]] const DeviceLinearKernel& linear_fp8_bf16_mma();
// "linear_bf16_mma"
[[nodiscard]] const DeviceLinearKernel& linear_bf16_mma();

}  // namespace nvfp4::kernels::cuda_sm80
