#include "formats/e2m1.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "formats/nearest_even_oracle.h"

namespace nvfp4 {
namespace {

static_assert(decode_e2m1(7) == kE2m1Max && encode_e2m1(-6.0F) == 15 && decode_e2m1_doubled(13) == -6);

constexpr std::array<float, 16> kValues = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0F, -0.5, -1, -1.5, -2, -3, -4, -6};

TEST(E2m1, DecodesAllCodes) {
  for (std::uint8_t code = 0; code < 16; ++code) {
    EXPECT_EQ(float_bits(decode_e2m1(code)), float_bits(kValues[code])) << int{code};
    EXPECT_EQ(static_cast<float>(decode_e2m1_doubled(code)), 2 * kValues[code]) << int{code};
  }
}

TEST(E2m1, EncodesItsOwnValues) {
  for (std::uint8_t code = 0; code < 16; ++code) EXPECT_EQ(encode_e2m1(decode_e2m1(code)), code);
}

TEST(E2m1, RoundsToNearestEvenAndSaturates) {
  const NearestEvenOracle oracle = oracle_of(8, 1, 0);
  for (const float probe : oracle.probes()) {
    const std::uint32_t want = std::min(oracle.encode(double{probe}), 7U);
    ASSERT_EQ(encode_e2m1(probe), want) << probe;
    ASSERT_EQ(encode_e2m1(-probe), want | 8U) << -probe;
  }
}

TEST(E2m1, TiesGoToTheEvenCode) {
  const std::array<std::pair<float, int>, 7> ties = {
      {{0.25F, 0}, {0.75F, 2}, {1.25F, 2}, {1.75F, 4}, {2.5F, 4}, {3.5F, 6}, {5.0F, 6}}};
  for (const auto& [value, code] : ties) EXPECT_EQ(encode_e2m1(value), code) << value;
}

TEST(E2m1, EncodesInfinityAndNan) {
  EXPECT_EQ(encode_e2m1(std::numeric_limits<float>::infinity()), 7);
  EXPECT_EQ(encode_e2m1(-std::numeric_limits<float>::infinity()), 15);
  EXPECT_EQ(encode_e2m1(float_from_bits(0x7F800001U)), 7);
  EXPECT_EQ(encode_e2m1(float_from_bits(0xFFC00000U)), 7);
}

}  // namespace
}  // namespace nvfp4
