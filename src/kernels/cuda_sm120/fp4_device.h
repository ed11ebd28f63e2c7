// The devices that the room has code for.
#pragma once

#include <string>

#include "device/device_caps.h"
#include "kernels/cuda_sm120/fp4_shapes.h"

namespace nvfp4::kernels::cuda_sm120 {

// Empty, or why the device cannot run FP4 kernels. With NVFP4_EMULATE_FP4_MMA, a build for tests, sm_90 multiplies FP4
// numbers by other means.
[[nodiscard]] inline std::string fp4_device_refusal(const DeviceCaps& caps) {
#if defined(NVFP4_EMULATE_FP4_MMA)
  const bool is_known = caps.sm == 120 || caps.sm == 121 || caps.sm == 90;
#else
  const bool is_known = caps.sm == 120 || caps.sm == 121;
#endif
  if (!is_known) return "only for compute capabilities 12.0 and 12.1, whose instruction for FP4 it needs";
  for (const Fp4Shape& shape : kFp4Shapes) {
    if (shape.shared_bytes() <= caps.shared_bytes_per_block) continue;
    return "a block needs " + std::to_string(shape.shared_bytes()) + " bytes of shared memory, the device has " +
           std::to_string(caps.shared_bytes_per_block);
  }
  return {};
}

}  // namespace nvfp4::kernels::cuda_sm120
