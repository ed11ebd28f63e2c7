#include "base/workspace.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace nvfp4 {
namespace {

std::uintptr_t address(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

TEST(Workspace, PiecesAreAlignedAndBehindEachOther) {
  Workspace workspace;
  workspace.reserve(Workspace::bytes_for<char>(1) + Workspace::bytes_for<double>(9) + Workspace::bytes_for<float>(16));
  const std::span<char> a = workspace.take<char>(1);
  const std::span<double> b = workspace.take<double>(9);
  const std::span<float> c = workspace.take<float>(16);
  EXPECT_EQ(a.size(), 1U);
  EXPECT_EQ(b.size(), 9U);
  EXPECT_EQ(c.size(), 16U);
  for (const std::uintptr_t begin : {address(a.data()), address(b.data()), address(c.data())}) {
    EXPECT_EQ(begin % Workspace::kAlignment, 0U);
  }
  EXPECT_EQ(address(b.data()) - address(a.data()), 64U);
  EXPECT_EQ(address(c.data()) - address(b.data()), 128U);
  EXPECT_EQ(workspace.peak_bytes(), 256U);
}

TEST(Workspace, BytesForRoundsUpToTheAlignment) {
  static_assert(Workspace::bytes_for<float>(0) == 0);
  static_assert(Workspace::bytes_for<float>(1) == 64);
  static_assert(Workspace::bytes_for<float>(16) == 64);
  static_assert(Workspace::bytes_for<float>(17) == 128);
  static_assert(Workspace::bytes_for<std::uint8_t>(std::size_t{1} << 40) == std::size_t{1} << 40);
}

TEST(Workspace, AMarkGivesBackAndThePeakStays) {
  Workspace workspace;
  workspace.reserve(1024);
  const std::span<int> outer = workspace.take<int>(4);
  outer[0] = 7;
  const int* first = nullptr;
  {
    const Workspace::Mark mark(workspace);
    first = workspace.take<int>(16).data();
    {
      const Workspace::Mark inner(workspace);
      (void)workspace.take<int>(64);
    }
    EXPECT_EQ(address(workspace.take<int>(1).data()), address(first) + 64);
  }
  EXPECT_EQ(workspace.take<int>(16).data(), first);
  EXPECT_EQ(outer[0], 7);
  EXPECT_EQ(workspace.peak_bytes(), 64U + 64U + 256U);
}

TEST(Workspace, ReservingAgainBeginsAnewAndNeverShrinks) {
  Workspace workspace;
  workspace.reserve(4096);
  void* const begin = workspace.take<char>(64).data();
  workspace.reserve(64);
  EXPECT_EQ(workspace.take<char>(4096).data(), begin);
}

// All that was asked for is there, whatever came before: the second reserve asks for what the first one's slack for
// alignment seems to hold already. Under ASan a byte too few is an error.
TEST(Workspace, ASlightlyLargerReserveHasAllItsBytes) {
  for (const std::size_t first : {64, 128, 1024, 1 << 20}) {
    for (const std::size_t more : {16, 48, 64}) {
      Workspace workspace;
      workspace.reserve(first);
      workspace.reserve(first + more);
      const std::span<char> all = workspace.take<char>(first + more / 64 * 64);
      std::memset(all.data(), 1, all.size());
      EXPECT_EQ(all.size(), first + more / 64 * 64);
    }
  }
}

}  // namespace
}  // namespace nvfp4
