#include "formats/fp16.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/nearest_even_oracle.h"

namespace nvfp4 {
namespace {

static_assert(decode_fp16(0x3C00) == 1.0F && encode_fp16(-2.0F) == 0xC000 && decode_fp16(0x7BFF) == kFp16Max);

TEST(Fp16, DecodesAndEncodesAllValues) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const int exponent = (code >> 10) & 31;
    const int mantissa = code & 1023;
    const float value = decode_fp16(code);
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(encode_fp16(value), code | 0x200) << bits;
      continue;
    }
    const double magnitude = exponent == 31  ? HUGE_VAL
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 15 - 10);
    EXPECT_EQ(float_bits(value), float_bits(static_cast<float>(code > 0x7FFF ? -magnitude : magnitude))) << bits;
    EXPECT_EQ(encode_fp16(value), code) << bits;
  }
}

TEST(Fp16, RoundsToNearestEven) {
  const NearestEvenOracle oracle = oracle_of(0x7C00, 10, -14);
  for (const float probe : oracle.probes()) {
    const std::uint32_t code = oracle.encode(double{probe});  // past the largest comes the code of infinity
    ASSERT_EQ(encode_fp16(probe), code) << probe;
    ASSERT_EQ(encode_fp16(-probe), code | 0x8000U) << -probe;
  }
}

TEST(Fp16, OverflowStartsAt65520) {
  EXPECT_EQ(encode_fp16(std::nextafter(65520.0F, 0.0F)), 0x7BFF);
  EXPECT_EQ(encode_fp16(65520.0F), 0x7C00);
}

TEST(Fp16, NanDoesNotBecomeInfinity) {
  EXPECT_EQ(encode_fp16(float_from_bits(0x7F800001U)), 0x7E00);
  EXPECT_EQ(encode_fp16(float_from_bits(0xFFFFFFFFU)), 0xFFFF);
}

}  // namespace
}  // namespace nvfp4
