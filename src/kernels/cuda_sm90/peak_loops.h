// The loops of kernels/contract/device_peak.h that use what only Hopper has: bulk copies and wgmma.
#pragma once

#include "kernels/contract/device_peak.h"

namespace nvfp4::kernels::cuda_sm90 {

[[nodiscard]] const DeviceReadLoop& read_by_bulk_copies();
[[nodiscard]] const DeviceMultiplyLoop& multiply_bf16_wgmma();

}  // namespace nvfp4::kernels::cuda_sm90
