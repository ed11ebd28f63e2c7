// Linear layers with NVFP4 weights for many tokens.
#pragma once

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm90 {

// "linear_nvfp4_bf16_wgmma"
[[nodiscard]] const DeviceLinearKernel& linear_nvfp4_bf16_wgmma();

}  // namespace nvfp4::kernels::cuda_sm90
