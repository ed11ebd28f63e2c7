#include "formats/e8m0.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nvfp4 {
namespace {

static_assert(decode_e8m0(kE8m0One) == 1.0F && encode_e8m0_down(1.5F) == 127 && encode_e8m0_up(1.5F) == 128);

TEST(E8m0, DecodesAllBytes) {
  for (int byte = 0; byte < 255; ++byte) {
    EXPECT_EQ(double{decode_e8m0(static_cast<std::uint8_t>(byte))}, std::ldexp(1.0, byte - 127)) << byte;
  }
  EXPECT_TRUE(std::isnan(decode_e8m0(kE8m0Nan)));
}

TEST(E8m0, EncodesItsOwnValuesAndBetween) {
  for (int byte = 0; byte <= 255; ++byte) {
    const auto code = static_cast<std::uint8_t>(byte);
    const float value = decode_e8m0(code);
    EXPECT_EQ(encode_e8m0_down(value), code) << byte;
    EXPECT_EQ(encode_e8m0_up(value), code) << byte;
    if (code >= kE8m0Max) continue;
    const float above = std::nextafter(value, std::numeric_limits<float>::infinity());
    const float below_next = std::nextafter(decode_e8m0(static_cast<std::uint8_t>(byte + 1)), 0.0F);
    EXPECT_EQ(encode_e8m0_down(above), code) << byte;
    EXPECT_EQ(encode_e8m0_up(above), code + 1) << byte;
    EXPECT_EQ(encode_e8m0_down(below_next), code) << byte;
    EXPECT_EQ(encode_e8m0_up(below_next), code + 1) << byte;
  }
}

TEST(E8m0, EndsOfTheRange) {
  for (const float tiny : {0.0F, -0.0F, std::numeric_limits<float>::denorm_min()}) {
    EXPECT_EQ(encode_e8m0_down(tiny), 0);
    EXPECT_EQ(encode_e8m0_up(tiny), 0);
  }
  for (const float huge : {std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(encode_e8m0_down(huge), kE8m0Max);
    EXPECT_EQ(encode_e8m0_up(huge), kE8m0Max);
  }
  for (const float none : {-1.0F, -std::numeric_limits<float>::infinity(), std::nanf(""), -std::nanf("")}) {
    EXPECT_EQ(encode_e8m0_down(none), kE8m0Nan);
    EXPECT_EQ(encode_e8m0_up(none), kE8m0Nan);
  }
}

}  // namespace
}  // namespace nvfp4
