#include "formats/e4m3.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "formats/nearest_even_oracle.h"

namespace nvfp4 {
namespace {

static_assert(decode_e4m3(0x7E) == kE4m3Max && decode_e4m3(0x01) == kE4m3MinSubnormal && decode_e4m3(0x38) == 1.0F);
static_assert(encode_e4m3_saturating(1e9F) == 0x7E && is_nan_e4m3(encode_e4m3_or_nan(1e9F)));

TEST(E4m3, DecodesAllBytes) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto code = static_cast<std::uint8_t>(byte);
    const int exponent = (byte >> 3) & 15;
    const int mantissa = byte & 7;
    if (exponent == 15 && mantissa == 7) {
      EXPECT_TRUE(std::isnan(decode_e4m3(code))) << byte;
      EXPECT_EQ(std::signbit(decode_e4m3(code)), byte > 127) << byte;
      EXPECT_TRUE(is_nan_e4m3(code));
      continue;
    }
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 7 - 3);
    EXPECT_EQ(float_bits(decode_e4m3(code)), float_bits(static_cast<float>(byte > 127 ? -magnitude : magnitude)))
        << byte;
    EXPECT_FALSE(is_nan_e4m3(code));
  }
}

TEST(E4m3, EncodesItsOwnValues) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto code = static_cast<std::uint8_t>(byte);
    EXPECT_EQ(encode_e4m3_saturating(decode_e4m3(code)), code);
    EXPECT_EQ(encode_e4m3_or_nan(decode_e4m3(code)), code);
  }
}

TEST(E4m3, RoundsToNearestEven) {
  const NearestEvenOracle oracle = oracle_of(127, 3, -6);
  for (const float probe : oracle.probes()) {
    const std::uint32_t code = oracle.encode(double{probe});
    const bool fits = code != oracle.overflow_code();
    ASSERT_EQ(encode_e4m3_saturating(probe), fits ? code : 0x7EU) << probe;
    ASSERT_EQ(encode_e4m3_saturating(-probe), (fits ? code : 0x7EU) | 0x80U) << -probe;
    ASSERT_EQ(encode_e4m3_or_nan(probe), fits ? code : 0x7FU) << probe;
    ASSERT_EQ(encode_e4m3_or_nan(-probe), (fits ? code : 0x7FU) | 0x80U) << -probe;
  }
}

TEST(E4m3, OverflowStartsAbove464) {
  EXPECT_EQ(encode_e4m3_or_nan(464.0F), 0x7E);
  EXPECT_EQ(encode_e4m3_or_nan(std::nextafter(464.0F, 500.0F)), 0x7F);
  EXPECT_EQ(encode_e4m3_or_nan(std::numeric_limits<float>::infinity()), 0x7F);
  EXPECT_EQ(encode_e4m3_saturating(-std::numeric_limits<float>::infinity()), 0xFE);
}

TEST(E4m3, NanStaysNan) {
  for (const std::uint32_t bits : {0x7F800001U, 0x7FC00000U, 0x7FFFFFFFU}) {
    EXPECT_EQ(encode_e4m3_saturating(float_from_bits(bits)), 0x7F);
    EXPECT_EQ(encode_e4m3_or_nan(float_from_bits(bits | kFloatSignMask)), 0xFF);
  }
}

}  // namespace
}  // namespace nvfp4
