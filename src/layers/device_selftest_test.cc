#include "layers/device_selftest.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "formats/bf16.h"

namespace nvfp4::layers {
namespace {

double error_of(const std::vector<double>& found, const std::vector<double>& expected) {
  std::vector<kernels::Bf16Bits> bits;
  for (const double value : found) bits.push_back(encode_bf16(static_cast<float>(value)));
  return error_beyond_rounding(bits, expected);
}

// Whatever rounds to the number that was found, on both sides of it.
TEST(ErrorBeyondRounding, IsNothingForWhatRoundsToIt) {
  for (const double value : {1.0, 1.0078125, -3.0, 0x1p-100, 1.99, 250.0}) {
    for (const double part : {-0x1p-9, -0x1p-10, 0.0, 0x1p-10, 0x1p-9}) {
      const double exact = value * (1 + part);
      EXPECT_EQ(error_of({exact}, {exact}), 0) << exact;
    }
  }
  EXPECT_EQ(error_of({0.0, 1.0}, {0.0, 1.0}), 0);
}

TEST(ErrorBeyondRounding, IsWhatRoundingDoesNotExplain) {
  // 1 is what numbers up to 1 + 2^-8 round to.
  EXPECT_DOUBLE_EQ(error_of({1.0}, {1 + 0x1p-7}), 0x1p-8 / (1 + 0x1p-7));
  EXPECT_DOUBLE_EQ(error_of({1.0, 2.0}, {1 + 0x1p-7, 2.0}), 0x1p-8 / std::hypot(1 + 0x1p-7, 2.0));
  EXPECT_EQ(error_of({0.0}, {0.5}), 1) << "nothing but 0 rounds to 0";
  EXPECT_EQ(error_of({2.0}, {0.0}), 2 - 0x1p-7) << "where nothing is expected: the error itself";
}

TEST(ErrorBeyondRounding, IsInfiniteWithoutNumbers) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(error_of({std::nan("")}, {1.0}), kInfinity);
  EXPECT_EQ(error_of({kInfinity, 1.0}, {1.0, 1.0}), kInfinity);
  EXPECT_EQ(error_of({1.0}, {std::nan("")}), kInfinity);
}

}  // namespace
}  // namespace nvfp4::layers
