#include "formats/bf16.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/nearest_even_oracle.h"

namespace nvfp4 {
namespace {

static_assert(decode_bf16(0x3F80) == 1.0F && encode_bf16(-2.0F) == 0xC000 && round_to_bf16(1.001F) == 1.0F);

TEST(Bf16, DecodesAndEncodesAllValues) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const int exponent = (code >> 7) & 255;
    const int mantissa = code & 127;
    const float value = decode_bf16(code);
    if (exponent == 255 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(encode_bf16(value), code | 0x40) << bits;
      continue;
    }
    const double magnitude = exponent == 255 ? HUGE_VAL
                             : exponent == 0 ? std::ldexp(mantissa, -126 - 7)
                                             : std::ldexp(128 + mantissa, exponent - 127 - 7);
    EXPECT_EQ(float_bits(value), float_bits(static_cast<float>(code > 0x7FFF ? -magnitude : magnitude))) << bits;
    EXPECT_EQ(encode_bf16(value), code) << bits;
  }
}

TEST(Bf16, RoundsToNearestEven) {
  const NearestEvenOracle oracle = oracle_of(0x7F80, 7, -126);
  for (const float probe : oracle.probes()) {
    const std::uint32_t code = oracle.encode(double{probe});  // past the largest comes the code of infinity
    ASSERT_EQ(encode_bf16(probe), code) << probe;
    ASSERT_EQ(encode_bf16(-probe), code | 0x8000U) << -probe;
  }
}

TEST(Bf16, NanDoesNotBecomeInfinity) {
  EXPECT_EQ(encode_bf16(float_from_bits(0x7F800001U)), 0x7FC0);
  EXPECT_EQ(encode_bf16(float_from_bits(0xFFFFFFFFU)), 0xFFFF);
}

}  // namespace
}  // namespace nvfp4
