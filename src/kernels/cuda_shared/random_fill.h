// kernels/contract/device_random.h on any CUDA device.
#pragma once

#include "kernels/contract/device_random.h"

namespace nvfp4::kernels {

[[nodiscard]] const DeviceRandom& cuda_random();

}  // namespace nvfp4::kernels
