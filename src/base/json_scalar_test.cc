#include "base/json_scalar.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nvfp4 {
namespace {

TEST(JsonScalar, ResolvesEscapes) {
  std::string out = ">";
  EXPECT_TRUE(unescape_json_string("a\\\"\\\\\\/\\b\\f\\n\\r\\tz\\u0041\\u00e9\\u20AC\\ud83d\\ude00", out));
  EXPECT_EQ(out, ">a\"\\/\b\f\n\r\tzA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(JsonScalar, ResolvesEveryCodePointOfTheBasicPlane) {
  for (unsigned code = 0; code < 0x10000; ++code) {
    char text[8];
    std::snprintf(text, sizeof text, "\\u%04x", code);
    std::string out;
    ASSERT_EQ(unescape_json_string(text, out), code < 0xd800 || code > 0xdfff) << text;
    if (code < 0xd800 || code > 0xdfff) {
      ASSERT_EQ(out.size(), code < 0x80 ? 1U : code < 0x800 ? 2U : 3U) << text;
    }
  }
}

TEST(JsonScalar, RefusesBadEscapes) {
  for (const char* text : {"\\", "\\x41", "\\u", "\\u12", "\\u12g4", "\\u+123", "\\ud800", "\\udc00", "\\ud800x",
                           "\\ud800\\n", "\\ud800\\ud800", "\\ud800\\u0041", "\\ud83d\\ude0"}) {
    std::string out;
    EXPECT_FALSE(unescape_json_string(text, out)) << text;
  }
}

TEST(JsonScalar, ReadsNumbers) {
  EXPECT_EQ(finite_json_number("0"), 0.0);
  EXPECT_EQ(finite_json_number("-12.5e-1"), -1.25);
  EXPECT_EQ(finite_json_number("1E+3"), 1000.0);
  EXPECT_EQ(finite_json_number("0e999999999999999999999"), 0.0);
  EXPECT_EQ(finite_json_number("1e-999999999999999999999"), 0.0);
  EXPECT_EQ(finite_json_number("0." + std::string(400, '0') + "1"), 0.0);
  EXPECT_EQ(finite_json_number("1" + std::string(308, '0')), 1e308);
  EXPECT_EQ(finite_json_number("15231233024.0"), 15231233024.0);
}

TEST(JsonScalar, RefusesWhatIsNoFiniteNumber) {
  for (const char* text : {"", "-", "+1", "01", "-01", ".5", "1.", "1e", "1e+", "1x", "1 ", "0x1", "NaN", "Infinity",
                           "1e309", "-1e309", "1e999999999999999999999", "123e307"}) {
    EXPECT_EQ(finite_json_number(text), std::nullopt) << text;
  }
  EXPECT_EQ(finite_json_number("1" + std::string(309, '0')), std::nullopt);
}

}  // namespace
}  // namespace nvfp4
