#include "text/code_points.h"

#include <gtest/gtest.h>

#include "text/byte_alphabet.h"

namespace nvfp4::text {
namespace {

TEST(CodePoints, EncodingAndDecodingAreInverse) {
  for (std::uint32_t c = 0; c < kNumCodePoints; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(find_invalid_utf8(text), std::string::npos) << c;
    ASSERT_EQ(decode_at(text.data()).value, c);
    ASSERT_EQ(decode_at(text.data()).num_bytes, text.size());
    ASSERT_EQ(decode_before(text.data() + text.size()).value, c);
  }
}

TEST(CodePoints, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("abc"), std::string::npos);
  EXPECT_EQ(find_invalid_utf8("ab\x80"), 2U);
  EXPECT_EQ(find_invalid_utf8("a\xe4\xb8"), 1U);
  EXPECT_EQ(find_invalid_utf8("\xc0\x80"), 0U);
  EXPECT_EQ(find_invalid_utf8("xx\xed\xa0\x80"), 2U);
}

TEST(CodePoints, IllFormedSequencesAreMaximal) {
  const auto step = [](std::string_view bytes) { return utf8_step(bytes, 0); };
  EXPECT_EQ(step("\xe4\xb8x").num_bytes, 2U);
  EXPECT_EQ(step("\xe4\xb8x").kind, Utf8Step::kIllFormed);
  EXPECT_EQ(step("\xe4\xb8").kind, Utf8Step::kCutOff);
  EXPECT_EQ(step("\xed\xa0\x80").num_bytes, 1U);
  EXPECT_EQ(step("\xf4\x90\x80\x80").num_bytes, 1U);
  EXPECT_EQ(step("\xf0\x9f\x98\x80").kind, Utf8Step::kCharacter);
}

TEST(CodePoints, ClassesOfSomeCharacters) {
  const ClassTable& classes = class_table();
  EXPECT_EQ(classes['a'], kLetter | kLower | kWord);
  EXPECT_EQ(classes['A'], kLetter | kUpper | kWord);
  EXPECT_EQ(classes['7'], kNumber | kWord);
  EXPECT_EQ(classes[' '], kSpace);
  EXPECT_EQ(classes[0x85], kSpace);
  EXPECT_EQ(classes[0x1c], 0);
  EXPECT_EQ(classes[0x180e], 0);
  EXPECT_EQ(classes[0x301], kMark | kWord | kNfc);
  EXPECT_EQ(classes[0x10ffff], 0);
}

TEST(ByteAlphabet, EveryByteHasItsCharacter) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = spelling_of_byte(static_cast<unsigned char>(byte));
    EXPECT_EQ(bytes_of_spelling(text), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(spelling_of_byte(' '), "\xc4\xa0");
  EXPECT_EQ(spelling_of_byte('!'), "!");
  EXPECT_EQ(bytes_of_spelling("a b"), std::nullopt);
}

}  // namespace
}  // namespace nvfp4::text
