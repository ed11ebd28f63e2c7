// The read loop of kernels/contract/device_peak.h for any CUDA device: 16 bytes a thread, eight loads under way.
#pragma once

#include "kernels/contract/device_peak.h"

namespace nvfp4::kernels {

[[nodiscard]] const DeviceReadLoop& read_by_threads();

}  // namespace nvfp4::kernels
