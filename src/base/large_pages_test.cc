#include "base/large_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace nvfp4 {
namespace {

TEST(LargePages, AreAlignedZeroedAndWritable) {
  for (const std::size_t num_bytes : {std::size_t{1}, kLargePageBytes, kLargePageBytes + 1}) {
    auto* const memory = static_cast<unsigned char*>(map_large_pages(num_bytes));
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % kLargePageBytes, 0U);
    EXPECT_EQ(memory[0] + memory[num_bytes - 1], 0);
    std::memset(memory, 7, num_bytes);
    unmap_large_pages(memory, num_bytes);
  }
}

TEST(LargePages, RefuseWhatDoesNotFit) {
  EXPECT_EQ(map_large_pages(std::numeric_limits<std::size_t>::max()), nullptr);
  EXPECT_EQ(LargePagePool().allocate(std::numeric_limits<std::size_t>::max()), nullptr);
}

TEST(LargePageMode, IsTheWordInBrackets) {
  EXPECT_EQ(parse_large_page_mode("[always] madvise never\n"), LargePageMode::kAlways);
  EXPECT_EQ(parse_large_page_mode("always [madvise] never"), LargePageMode::kMadvise);
  EXPECT_EQ(parse_large_page_mode("always madvise [never]"), LargePageMode::kNever);
  EXPECT_EQ(parse_large_page_mode("always madvise never"), LargePageMode::kUnknown);
  EXPECT_EQ(parse_large_page_mode(""), LargePageMode::kUnknown);
}

TEST(LargeVector, GrowsAcrossTheLimit) {
  LargeVector<std::uint64_t> values;
  for (std::uint64_t i = 0; i < (1U << 19U); ++i) values.push_back(i);
  for (std::uint64_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], i);
}

TEST(LargePagePool, PiecesOutliveThePoolAndDoNotOverlap) {
  std::shared_ptr<char> first;
  std::shared_ptr<char> second;
  std::shared_ptr<char> large;
  {
    LargePagePool pool;
    first = pool.allocate(100);
    second = pool.allocate(100);
    large = pool.allocate(3 * kLargePageBytes);
  }
  std::memset(first.get(), 1, 100);
  std::memset(second.get(), 2, 100);
  std::memset(large.get(), 3, 3 * kLargePageBytes);
  EXPECT_EQ(first.get()[99], 1);
  EXPECT_EQ(second.get()[0], 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.get()) % 64, 0U);
}

}  // namespace
}  // namespace nvfp4
