// kernels/contract/device_pack.h on any CUDA device, for the layout of the FP4 instruction.
#pragma once

#include "kernels/contract/device_pack.h"

namespace nvfp4::kernels {

[[nodiscard]] const FragmentPacker& cuda_block_scaled_packer();

}  // namespace nvfp4::kernels
