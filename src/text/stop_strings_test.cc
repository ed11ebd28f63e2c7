#include "text/stop_strings.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace nvfp4 {
namespace {

// The text up to the occurrence that ends first (the longest of those), and whether there is one.
std::pair<std::string, bool> search(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 0; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (!stop.empty() && end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

std::string letters(std::mt19937& rng, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += static_cast<char>('a' + rng() % 3);
  return out;
}

TEST(StopStrings, EqualsTheNaiveSearch) {
  std::mt19937 rng(1);
  int num_stopped = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::string> stops(rng() % 4);
    for (std::string& stop : stops) stop = letters(rng, rng() % 6);
    const std::string text = letters(rng, rng() % 60);
    StopStrings matcher(stops);
    std::string emitted;
    bool stopped = false;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = std::min<std::size_t>(1 + rng() % 5, text.size() - at);
      const auto output = matcher.push(std::string_view(text).substr(at, size));
      emitted += output.emit;
      stopped = output.stopped;
      at += size;
    }
    emitted += matcher.finish();
    EXPECT_EQ(std::pair(emitted, stopped), search(text, stops)) << text;
    num_stopped += stopped;
  }
  EXPECT_GT(num_stopped, 5000);
}

TEST(StopStrings, HoldsBackOnlyWhatCouldBeTheBeginning) {
  StopStrings matcher({"<|im_end|>", "User:"});
  EXPECT_EQ(matcher.push("Hello <").emit, "Hello ");
  EXPECT_EQ(matcher.push("|im").emit, "");
  EXPECT_EQ(matcher.push("portant|> U").emit, "<|important|> ");
  EXPECT_EQ(matcher.push("ser").emit, "");
  const auto output = matcher.push(":x");
  EXPECT_EQ(output.emit, "");
  EXPECT_TRUE(output.stopped);
  EXPECT_TRUE(matcher.push("more").stopped);
  EXPECT_EQ(matcher.finish(), "");
  EXPECT_EQ(matcher.push("new").emit, "new");
}

TEST(StopStrings, WithoutStringsEverythingPasses) {
  StopStrings matcher({"", ""});
  const auto output = matcher.push("all of it");
  EXPECT_EQ(output.emit, "all of it");
  EXPECT_FALSE(output.stopped);
}

TEST(StopStrings, LongRepeatingStringsStayLinear) {
  std::string stop(50'000, 'a');
  stop.push_back('b');
  StopStrings matcher({stop});
  std::string emitted;
  for (int i = 0; i < 20; ++i) emitted += matcher.push(std::string(50'000, 'a')).emit;
  EXPECT_EQ(emitted.size(), 19U * 50'000U);
  EXPECT_EQ(matcher.finish().size(), 50'000U);
}

}  // namespace
}  // namespace nvfp4
