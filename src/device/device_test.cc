#include "device/device.h"

#include <gtest/gtest.h>

#include <string>

namespace nvfp4 {
namespace {

// Wherever this runs: a device, or one line that says why there is none.
TEST(Device, OpensOrSaysWhyNot) {
  const auto device = Device::open(0);
  if (device.ok()) {
    const DeviceCaps& caps = device.value().caps();
    EXPECT_FALSE(caps.name.empty());
    EXPECT_GE(caps.sm, 50U);
    EXPECT_GT(caps.num_sms, 0U);
    EXPECT_GT(caps.memory_bytes, caps.l2_bytes);
    EXPECT_GE(caps.shared_bytes_per_sm, caps.shared_bytes_per_block);
    EXPECT_GE(caps.driver_version, caps.runtime_version / 1000 * 1000);
    return;
  }
  const std::string message = device.error().to_string();
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_TRUE(message.starts_with("CUDA: there is no CUDA device") || message.starts_with("CUDA: the driver knows") ||
              message.starts_with("CUDA: this program was built without"))
      << message;
}

TEST(Device, OfANumberThatIsNotThereIsAnError) {
  const auto device = Device::open(1000);
  ASSERT_FALSE(device.ok());
  if (Device::count().ok()) {
    EXPECT_TRUE(device.error().to_string().starts_with("CUDA: there is no device 1000")) << device.error().to_string();
  }
}

}  // namespace
}  // namespace nvfp4
