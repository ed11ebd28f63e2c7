// kernels/contract/device_pack.h on any CUDA device.
#pragma once

#include "kernels/contract/device_pack.h"

namespace nvfp4::kernels {

[[nodiscard]] const FragmentPacker& cuda_fragment_packer();

}  // namespace nvfp4::kernels
