#include "kernels/catalogue/peak_catalogue.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/large_buffer.h"

namespace nvfp4::kernels {
namespace {

TEST(PeakCatalogue, EverySetHasItsLoopsAndNoneOfALargerOne) {
  for (const InstructionSet set : kInstructionSets) {
    EXPECT_LE(find_read_loop(set).needs, set);
    for (const Multiply kind : {Multiply::kF32, Multiply::kInt8}) {
      const MultiplyLoop* const loop = find_multiply_loop(kind, set);
      ASSERT_NE(loop, nullptr) << instruction_set_name(set);
      EXPECT_EQ(loop->kind, kind);
      EXPECT_LE(loop->needs, set);
    }
  }
  EXPECT_EQ(find_multiply_loop(Multiply::kBF16, InstructionSet::kAvx512Vnni), nullptr);
}

TEST(PeakCatalogue, LoopsThatRunHereCountTheirOperations) {
  for (const MultiplyLoop& loop : multiply_loops()) {
    EXPECT_GT(loop.operations_per_round, 0) << loop.name;
    if (!runs_here(loop.needs)) continue;
    const float value = loop.run(100);
    EXPECT_TRUE(value == value) << loop.name;
  }
}

// The loops or all bits together: a bit that stands once, wherever it is, must be seen.
TEST(PeakCatalogue, ReadingMissesNoByte) {
  constexpr std::size_t kNumBytes = 4 * ReadLoop::kStepBytes;
  LargeBuffer memory(kNumBytes);
  ASSERT_TRUE(memory.valid());
  std::memset(memory.data(), 0, kNumBytes);
  for (const ReadLoop& loop : read_loops()) {
    if (!runs_here(loop.needs)) continue;
    for (const std::size_t prefetch_bytes : {0, 1024}) {
      EXPECT_EQ(loop.run(memory.data(), kNumBytes, prefetch_bytes), 0U) << loop.name;
      for (std::size_t i = 0; i < kNumBytes; ++i) {
        memory.data()[i] = std::byte{0x10};
        EXPECT_NE(loop.run(memory.data(), kNumBytes, prefetch_bytes), 0U) << loop.name << " byte " << i;
        memory.data()[i] = std::byte{0};
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
