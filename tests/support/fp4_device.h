// Tests of kernels for the FP4 tensor cores run on a GPU that has them, or on an emulated one.
#pragma once

#include <gtest/gtest.h>

#if defined(NVFP4_EMULATED_DEVICE)
#include "emulation/emulated_device.h"
#endif

namespace nvfp4::support {

// What such tests derive from: on the emulated device they run as on SM120.
class Fp4DeviceTest : public testing::Test {
 protected:
#if defined(NVFP4_EMULATED_DEVICE)
  Fp4DeviceTest() { emulation::emulated_device() = emulation::device_like_sm120(); }
#endif
};

}  // namespace nvfp4::support
