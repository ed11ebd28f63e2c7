#include "device/known_devices.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nvfp4 {
namespace {

TEST(KnownDevices, OneCardForEachGeneration) {
  std::set<std::string_view> names;
  for (const KnownDevice& device : known_devices()) {
    EXPECT_TRUE(names.insert(device.key).second);
    EXPECT_TRUE(names.insert(device.card).second);
    EXPECT_EQ(device.key, "sm" + std::to_string(device.caps.sm));
    EXPECT_EQ(find_known_device(device.key), &device);
    EXPECT_EQ(find_known_device(device.card), &device);
  }
  for (const std::string_view key : {"sm80", "sm86", "sm89", "sm90", "sm120", "sm121"}) EXPECT_EQ(names.count(key), 1U);
  EXPECT_EQ(find_known_device("sm75"), nullptr);
}

TEST(KnownDevices, FiguresFitEachOther) {
  for (const KnownDevice& device : known_devices()) {
    const DeviceCaps& caps = device.caps;
    EXPECT_EQ(caps.shared_bytes_per_block + caps.reserved_shared_bytes, caps.shared_bytes_per_sm) << caps.name;
    EXPECT_GT(caps.num_sms, 0U);
    EXPECT_GT(caps.memory_bytes, caps.l2_bytes);
    EXPECT_GT(device.rates.memory_gb_per_s, 0);
    EXPECT_GT(device.rates.bf16_tflops, 0);
    EXPECT_EQ(device.rates.fp8_tflops > 0, caps.sm >= 89) << caps.name;
    EXPECT_EQ(device.rates.fp4_tflops > 0, caps.sm >= 120) << caps.name;
  }
}

TEST(KnownDevices, SharedMemoryIsThatOfTheProgrammingGuide) {
  EXPECT_EQ(find_known_device("sm80")->caps.shared_bytes_per_block, 166912U);
  EXPECT_EQ(find_known_device("sm86")->caps.shared_bytes_per_block, 101376U);
  EXPECT_EQ(find_known_device("sm90")->caps.shared_bytes_per_block, 232448U);
  EXPECT_EQ(find_known_device("sm120")->caps.shared_bytes_per_block, 101376U);
}

TEST(KnownDevices, RatesOfADeviceThatIsHere) {
  DeviceCaps caps = find_known_device("sm90")->caps;
  EXPECT_EQ(rates_of(caps).memory_gb_per_s, 4800);
  caps.name = "NVIDIA H100 with half of its multiprocessors";
  caps.num_sms = 66;
  EXPECT_EQ(rates_of(caps).memory_gb_per_s, 2400);
  caps.sm = 75;
  EXPECT_EQ(rates_of(caps).memory_gb_per_s, 0);
}

}  // namespace
}  // namespace nvfp4
