#include "prepare/weight_buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace nvfp4::prepare {
namespace {

TEST(WeightBuffer, GrowsInPlaceWhereItHasRoom) {
  for (const std::size_t size : {std::size_t{100}, LargeBuffer::kMinPagedBytes}) {
    WeightBuffer buffer(size, 2 * size);
    ASSERT_TRUE(buffer.valid());
    EXPECT_EQ(buffer.size(), size);
    const std::byte* const memory = buffer.data();
    std::memset(buffer.data(), 0x5A, size);
    ASSERT_TRUE(buffer.grow(2 * size));
    EXPECT_EQ(buffer.data(), memory);
    EXPECT_EQ(buffer.size(), 2 * size);
    std::memset(buffer.data() + size, 0x5B, size);
    EXPECT_EQ(buffer.data()[size - 1], std::byte{0x5A});
  }
}

TEST(WeightBuffer, KeepsItsBytesWithoutRoom) {
  LargeBuffer memory(3);
  std::memcpy(memory.data(), "abc", 3);
  WeightBuffer buffer(std::move(memory));
  EXPECT_EQ(buffer.size(), 3U);
  ASSERT_TRUE(buffer.grow(100'000));
  EXPECT_EQ(buffer.size(), 100'000U);
  EXPECT_EQ(std::memcmp(buffer.data(), "abc", 3), 0);
  WeightBuffer empty;
  ASSERT_TRUE(empty.grow(7));
  EXPECT_EQ(empty.size(), 7U);
}

TEST(WeightBuffer, StaysAsItIsWhenThereIsNoMemory) {
  WeightBuffer buffer(3, 5);
  std::memcpy(buffer.data(), "abc", 3);
  EXPECT_FALSE(buffer.grow(std::numeric_limits<std::size_t>::max() / 2));
  EXPECT_EQ(buffer.size(), 3U);
  EXPECT_EQ(std::memcmp(buffer.data(), "abc", 3), 0);
}

TEST(WeightBuffer, HasRoomForItsOwnBytesAtLeast) {
  const WeightBuffer buffer(100, 0);
  ASSERT_TRUE(buffer.valid());
  EXPECT_EQ(buffer.size(), 100U);
}

TEST(WeightBuffer, MovesItsMemory) {
  WeightBuffer a(100, 200);
  const std::byte* const memory = a.data();
  WeightBuffer b(std::move(a));
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(b.size(), 100U);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(a.size(), 0U);
  WeightBuffer c(3, 5);
  c = std::move(b);
  EXPECT_EQ(c.data(), memory);
  EXPECT_EQ(c.size(), 100U);
  ASSERT_TRUE(c.grow(200));
  EXPECT_EQ(c.data(), memory);
  c = WeightBuffer();
  EXPECT_FALSE(c.valid());
  EXPECT_EQ(c.size(), 0U);
}

}  // namespace
}  // namespace nvfp4::prepare
