#include "layouts/quantized_rows_256.h"

#include <gtest/gtest.h>

#include <vector>

namespace nvfp4 {
namespace {

using Layout = QuantizedRows256;

TEST(QuantizedRows256, EveryByteHasOnePlace) {
  for (const std::uint64_t num_rows : {1U, 5U}) {
    for (const std::uint64_t cols : {256U, 768U}) {
      std::vector<int> uses(Layout::num_bytes(num_rows, cols), 0);
      for (std::uint64_t row = 0; row < num_rows; ++row) {
        for (std::uint64_t col = 0; col < cols; col += 2) ++uses.at(Layout::code_offset(num_rows, row, col));
        for (std::uint64_t col = 0; col < cols; col += 16) ++uses.at(Layout::scale_offset(num_rows, row, col));
        EXPECT_EQ(Layout::code_offset(num_rows, row, 7), Layout::code_offset(num_rows, row, 6));
        EXPECT_EQ(Layout::scale_offset(num_rows, row, 31), Layout::scale_offset(num_rows, row, 16));
      }
      for (const int count : uses) EXPECT_EQ(count, 1);
    }
  }
  EXPECT_EQ(Layout::num_bytes(3, 272), 2 * 3 * 144U);
}

}  // namespace
}  // namespace nvfp4
