// Streams, events, memory and graphs of a device.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "device/buffer.h"
#include "device/device.h"
#include "device/graph.h"
#include "device/stream.h"

namespace nvfp4 {
namespace {

TEST(Buffer, KeepsWhatWasWritten) {
  const auto stream = Stream::create();
  ASSERT_TRUE(stream.ok());
  std::vector<std::uint32_t> values(1'000'003);
  std::iota(values.begin(), values.end(), 7U);
  auto buffer = to_device<std::uint32_t>(values, stream.value().get());
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 256, 0U);
  Buffer moved = std::move(buffer).value();
  std::vector<std::uint32_t> found(values.size());
  ASSERT_TRUE(to_host<std::uint32_t>(moved, found, stream.value().get()).ok());
  EXPECT_EQ(found, values);
  ASSERT_TRUE(moved.fill(0xFF, stream.value().get()).ok());
  ASSERT_TRUE(to_host<std::uint32_t>(moved, found, stream.value().get()).ok());
  EXPECT_EQ(found, std::vector<std::uint32_t>(values.size(), 0xFFFFFFFFU));
}

TEST(Buffer, OfNothingAndOfTooMuch) {
  EXPECT_TRUE(Buffer::allocate(0).ok());
  const auto buffer = Buffer::allocate(std::size_t{1} << 50U, "model.layers.0");
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().to_string(),
            "model.layers.0: allocate 1125899906842624 bytes: the device has not enough free memory");
  EXPECT_TRUE(Buffer::allocate(256).ok()) << "an error is reported once";
}

TEST(Graph, RunsWhatWasCapturedEachTimeItIsLaunched) {
  const auto stream = Stream::create();
  ASSERT_TRUE(stream.ok());
  const DeviceStream queue = stream.value().get();
  const auto buffer = Buffer::allocate(1024);
  ASSERT_TRUE(buffer.ok());
  ASSERT_TRUE(buffer->fill(1, queue).ok());
  const auto graph = Graph::capture(stream.value(), [&] { return buffer->fill(2, queue); });
  ASSERT_TRUE(graph.ok());
  std::vector<std::uint8_t> found(1024);
  ASSERT_TRUE(to_host<std::uint8_t>(buffer.value(), found, queue).ok());
  EXPECT_EQ(found[0], 1) << "capturing runs nothing";
  ASSERT_TRUE(graph->launch(queue).ok());
  ASSERT_TRUE(to_host<std::uint8_t>(buffer.value(), found, queue).ok());
  EXPECT_EQ(found[1023], 2);

  const auto failed = Graph::capture(stream.value(), [] { return Status(Error{ErrorCode::kIo, "x", "y"}); });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().to_string(), "x: y");
  EXPECT_TRUE(stream.value().synchronize().ok()) << "the stream has left the capture";
}

TEST(EventTimer, MeasuresTheDevice) {
  const auto stream = Stream::create();
  const auto timer = EventTimer::create();
  const auto buffer = Buffer::allocate(std::size_t{1} << 30U);
  ASSERT_TRUE(stream.ok() && timer.ok() && buffer.ok());
  const DeviceStream queue = stream.value().get();
  ASSERT_TRUE(timer->begin(queue).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(buffer->fill(1, queue).ok());
  ASSERT_TRUE(timer->end(queue).ok());
  const auto elapsed_us = timer->elapsed_us();
  ASSERT_TRUE(elapsed_us.ok());
  EXPECT_GT(*elapsed_us, 500.0F);  // 10 GiB at 20 TB/s
  EXPECT_LT(*elapsed_us, 1e6F);
}

TEST(Device, KnowsItsFreeMemory) {
  const auto device = Device::open(0);
  ASSERT_TRUE(device.ok());
  const auto before = device->free_bytes();
  ASSERT_TRUE(before.ok());
  EXPECT_LE(*before, device->caps().memory_bytes);
  const auto buffer = Buffer::allocate(std::size_t{256} << 20U);
  ASSERT_TRUE(buffer.ok());
  EXPECT_LE(*device->free_bytes() + (std::size_t{256} << 20U), *before);
}

}  // namespace
}  // namespace nvfp4
