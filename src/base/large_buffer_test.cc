#include "base/large_buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace nvfp4 {
namespace {

constexpr std::size_t kPaged = LargeBuffer::kMinPagedBytes;

TEST(LargeBuffer, EverySizeIsAlignedAndWritable) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65},
                                 std::size_t{4096}, kPaged - 1, kPaged, kPaged + 1}) {
    LargeBuffer buffer(size);
    ASSERT_TRUE(buffer.valid()) << size;
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % LargeBuffer::kAlignment, 0U) << size;
    std::memset(buffer.data(), 0x5A, size);
    if (size == 0) continue;
    EXPECT_EQ(std::as_const(buffer).data()[size - 1], std::byte{0x5A});
  }
}

TEST(LargeBuffer, LargeOnesAreOnLargePages) {
  const LargeBuffer buffer(kPaged);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % kLargePageBytes, 0U);
}

TEST(LargeBuffer, IsEmptyByDefault) {
  const LargeBuffer buffer;
  EXPECT_FALSE(buffer.valid());
  EXPECT_EQ(buffer.size(), 0U);
}

TEST(LargeBuffer, MovesItsMemory) {
  for (const std::size_t size : {std::size_t{100}, kPaged}) {
    LargeBuffer a(size);
    std::byte* const memory = a.data();
    LargeBuffer b(std::move(a));
    EXPECT_EQ(b.data(), memory);
    EXPECT_EQ(b.size(), size);
    EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(a.size(), 0U);
    LargeBuffer c(size == 100 ? kPaged : 100);
    c = std::move(b);
    EXPECT_EQ(c.data(), memory);
    EXPECT_EQ(c.size(), size);
    c = LargeBuffer();
    EXPECT_FALSE(c.valid());
  }
}

TEST(LargeBuffer, LivesInVectors) {
  std::vector<LargeBuffer> buffers;
  for (std::size_t i = 0; i < 20; ++i) {
    buffers.emplace_back(i % 5 == 0 ? kPaged : 100 + i);
    buffers.back().data()[0] = static_cast<std::byte>(i);
  }
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(buffers[i].data()[0], static_cast<std::byte>(i));
}

TEST(LargeBuffer, SaysWhenThereIsNotEnoughMemory) {
  for (const std::size_t size :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 2}) {
    EXPECT_FALSE(LargeBuffer(size).valid());
  }
}

}  // namespace
}  // namespace nvfp4
