#include "text/nfc.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "text/code_points.h"

namespace nvfp4::text {
namespace {

std::string utf8(std::initializer_list<std::uint32_t> code_points) {
  std::string out;
  for (const std::uint32_t c : code_points) append_utf8(c, out);
  return out;
}

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(to_nfc(utf8({'e', 0x301})), utf8({0xe9}));
  EXPECT_EQ(to_nfc(utf8({'s', 0x307, 0x323})), utf8({0x1e69}));
  EXPECT_EQ(to_nfc(utf8({'q', 0x307, 0x323})), utf8({'q', 0x323, 0x307}));
  EXPECT_EQ(to_nfc(utf8({0x212b})), utf8({0xc5}));
  EXPECT_EQ(to_nfc(utf8({0x1100, 0x1161, 0x11a8})), utf8({0xac01}));
  EXPECT_EQ(to_nfc(utf8({0xac00, 0x11a8})), utf8({0xac01}));
  EXPECT_EQ(to_nfc(utf8({0xac00, 0x11a7})), utf8({0xac00, 0x11a7}));
  EXPECT_EQ(to_nfc(utf8({0x958})), utf8({0x915, 0x93c}));
  EXPECT_EQ(to_nfc(utf8({0x1d15e})), utf8({0x1d157, 0x1d165}));
  EXPECT_EQ(to_nfc(utf8({0x9c7, 0x9be})), utf8({0x9cb}));
}

TEST(Nfc, StaysAtUnicode9) {
  EXPECT_EQ(to_nfc(utf8({0x11935, 0x11930})), utf8({0x11935, 0x11930}));      // composes since 13.0
  EXPECT_EQ(to_nfc(utf8({'q', 0x1dfa, 0x334})), utf8({'q', 0x1dfa, 0x334}));  // has a combining class since 14.0
}

TEST(Nfc, LeavesWhatTheQuickCheckPasses) {
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    const std::string text = utf8({'a', c, 'b'});
    if (is_surely_nfc(text)) {
      ASSERT_EQ(to_nfc(text), text) << c;
    }
    ASSERT_EQ(to_nfc(to_nfc(text)), to_nfc(text)) << c;
  }
}

TEST(Nfc, DoesNotDependOnWhereTheTextIsCutAtStarters) {
  static constexpr std::uint32_t kPool[] = {'a',    'e',    0xe9,   0x301, 0x323, 0x307,  0x345, 0x1100,
                                            0x1161, 0x11a8, 0xac00, 0x915, 0x93c, 0x3099, 0x304b};
  std::mt19937 rng(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string left;
    std::string right = "x";
    for (std::size_t k = rng() % 8; k > 0; --k) append_utf8(kPool[rng() % std::size(kPool)], left);
    for (std::size_t k = rng() % 8; k > 0; --k) append_utf8(kPool[rng() % std::size(kPool)], right);
    EXPECT_EQ(to_nfc(left + right), to_nfc(left) + to_nfc(right));
  }
}

}  // namespace
}  // namespace nvfp4::text
