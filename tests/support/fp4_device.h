// Tests of kernels for the FP4 tensor cores run on a GPU that has them, on an emulated one, or, where they were built
// with NVFP4_EMULATE_FP4_MMA, on a Hopper GPU.
#pragma once

#include <gtest/gtest.h>

#include "device/device.h"
#if defined(NVFP4_EMULATED_DEVICE)
#include "emulation/emulated_device.h"
#endif

namespace nvfp4::support {

// What such tests derive from: on the emulated device they run as on SM120, on other devices they are skipped.
class Fp4DeviceTest : public testing::Test {
 protected:
#if defined(NVFP4_EMULATED_DEVICE)
  Fp4DeviceTest() { emulation::emulated_device() = emulation::device_like_sm120(); }
#endif
  void SetUp() override {
    const auto device = Device::open(0);
    ASSERT_TRUE(device.ok());
    const std::uint32_t sm = device->caps().sm;
#if defined(NVFP4_EMULATE_FP4_MMA)
    if (sm == 90) return;
#endif
    if (sm != 120 && sm != 121) GTEST_SKIP() << "the device has no FP4 tensor cores";
  }
};

}  // namespace nvfp4::support
