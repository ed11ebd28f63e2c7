#include "text/split_rules.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "text/regex_splitter.h"

namespace nvfp4::text {
namespace {

struct Family {
  KnownPattern pattern;
  std::string regex;
};

// Spelled a second time, as the published files do.
const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {KnownPattern::kGpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
      {KnownPattern::kQwen2,
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
      {KnownPattern::kQwen35,
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
      {KnownPattern::kLlama3,
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
      {KnownPattern::kLlama3,
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
      {KnownPattern::kCl100k,
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)"},
      {KnownPattern::kO200k,
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
      {KnownPattern::kTekken,
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
  };
  return kFamilies;
}

std::vector<std::string> by_hand(KnownPattern pattern, std::string_view text) {
  std::vector<std::string> out;
  with_splitter(pattern, class_table(), [&](const auto& splitter) {
    splitter.split(text, [&](std::string_view piece) { out.emplace_back(piece); });
  });
  return out;
}

std::vector<std::string> by_pcre2(const RegexSplitter& splitter, std::string_view text) {
  std::vector<std::string> out;
  const auto status = splitter.split(
      text, [&](std::size_t begin, std::size_t end, bool) { out.emplace_back(text.substr(begin, end - begin)); });
  EXPECT_TRUE(status.ok());
  return out;
}

using Pieces = std::vector<std::string>;

TEST(SplitRules, KnowsThePublishedSpellings) {
  for (const Family& family : families()) EXPECT_EQ(find_known_pattern(family.regex), family.pattern) << family.regex;
  EXPECT_EQ(find_known_pattern(R"(\p{L}+)"), std::nullopt);
}

TEST(SplitRules, CutsAsTheFamiliesDo) {
  EXPECT_EQ(by_hand(KnownPattern::kQwen2, "It's 123  ok!\n\n x"),
            (Pieces{"It", "'s", " ", "1", "2", "3", " ", " ok", "!\n\n", " x"}));
  EXPECT_EQ(by_hand(KnownPattern::kLlama3, "1234 x"), (Pieces{"123", "4", " x"}));
  EXPECT_EQ(by_hand(KnownPattern::kGpt2, "It'S 123  ok!\n"), (Pieces{"It", "'", "S", " 123", " ", " ok", "!", "\n"}));
  EXPECT_EQ(by_hand(KnownPattern::kQwen35, "e\xcc\x81x"), (Pieces{"e\xcc\x81x"}));
  EXPECT_EQ(by_hand(KnownPattern::kQwen2, "e\xcc\x81x"), (Pieces{"e", "\xcc\x81x"}));
  EXPECT_EQ(by_hand(KnownPattern::kO200k, "HTMLParser's a/b//\n"), (Pieces{"HTMLParser's", " a", "/b", "//\n"}));
  EXPECT_EQ(by_hand(KnownPattern::kCl100k, "a \n  "), (Pieces{"a", " \n  "}));
  EXPECT_EQ(by_hand(KnownPattern::kQwen2, "a'\xc5\xbf"), (Pieces{"a", "'\xc5\xbf"}));
}

// Every pattern on random texts of hard characters, as PCRE2 sees the same regular expression. All characters are of
// Unicode 14, which both know.
TEST(SplitRules, AgreesWithPcre2) {
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          "\n",
                                          "\r",
                                          "\t",
                                          "\xc2\xa0",
                                          "\xe3\x80\x80",
                                          "\xc2\x85",
                                          "\xe1\xa0\x8e",
                                          "a",
                                          "b",
                                          "s",
                                          "S",
                                          "t",
                                          "re",
                                          "LL",
                                          "'",
                                          "'s",
                                          "'D",
                                          "A",
                                          "B",
                                          "\xc5\xbf",
                                          "\xc2\xaa",
                                          "\xca\xb0",
                                          "\xc7\x85",
                                          "1",
                                          "2",
                                          "\xc2\xb2",
                                          "\xd9\xa1",
                                          "\xe2\x85\xab",
                                          "\xcc\x81",
                                          "\xe0\xa4\xbc",
                                          "/",
                                          "!",
                                          "_",
                                          "-",
                                          "\xe4\xb8\xad",
                                          "\xe3\x81\x82",
                                          "\xed\x95\x9c",
                                          "\xf0\x9f\x98\x80",
                                          "\xf0\x9d\x9f\x8e",
                                          "\xe2\x80\x8d",
                                          "\x1c",
                                          std::string(1, '\0')};
  std::mt19937 rng(5);
  for (const Family& family : families()) {
    const auto splitter = RegexSplitter::compile(family.regex, "here");
    ASSERT_TRUE(splitter.ok()) << splitter.error().to_string();
    for (int i = 0; i < 20'000; ++i) {
      std::string text;
      const std::size_t num_parts = rng() % 12;
      for (std::size_t k = 0; k < num_parts; ++k) text += parts[rng() % parts.size()];
      ASSERT_EQ(by_hand(family.pattern, text), by_pcre2(*splitter, text)) << family.regex << "\n" << text;
    }
  }
}

TEST(RegexSplitter, RewritesWhatOnigurumaReadsDifferently) {
  EXPECT_EQ(to_pcre2_syntax(R"(\s[\s])", "").value(), R"([\p{Z}\t-\r\x{85}][\p{Z}\t-\r\x{85}])");
  EXPECT_EQ(to_pcre2_syntax(R"(\p{N}{1,3}+x{2})", "").value(), R"(\p{N}+x{2})");
  EXPECT_EQ(to_pcre2_syntax(R"(\u4e00)", "").value(), R"(\x{4e00})");
}

TEST(RegexSplitter, RefusesWhatItCannotDo) {
  for (const char* regex : {R"(\h)", R"(\bx)", R"([[:alpha:]])", R"([a&&b])", R"([a)", R"((?m:.))", R"(x{2}+)",
                            R"([\S])", "\\", R"((?<n>x))"}) {
    const auto splitter = RegexSplitter::compile(regex, "tokenizer.json: pre_tokenizer.pattern");
    ASSERT_FALSE(splitter.ok()) << regex;
    EXPECT_EQ(splitter.error().code, ErrorCode::kUnsupported) << regex;
    EXPECT_EQ(splitter.error().where, "tokenizer.json: pre_tokenizer.pattern");
  }
  EXPECT_FALSE(RegexSplitter::compile("(x", "").ok());
  EXPECT_FALSE(RegexSplitter::compile(R"(\p{Nonsense})", "").ok());
  EXPECT_FALSE(RegexSplitter::compile(std::string(70'000, 'x'), "").ok());
}

TEST(RegexSplitter, GivesUpInsteadOfRunningForever) {
  const auto splitter = RegexSplitter::compile(R"((?:a+)+[^a])", "here");
  ASSERT_TRUE(splitter.ok());
  const auto status = splitter->split(std::string(200, 'a'), [](std::size_t, std::size_t, bool) {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().where, "here");
}

TEST(RegexSplitter, EmptyMatchesOnlyCut) {
  const auto splitter = RegexSplitter::compile("(?=b)", "here");
  ASSERT_TRUE(splitter.ok());
  EXPECT_EQ(by_pcre2(*splitter, "aabab"), (Pieces{"aa", "ba", "b"}));
}

}  // namespace
}  // namespace nvfp4::text
