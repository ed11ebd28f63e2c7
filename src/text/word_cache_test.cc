#include "text/word_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>

namespace nvfp4::text {
namespace {

// The tokens that a word stands for in these tests: told from its bytes.
std::vector<TokenId> tokens_of(std::string_view word) {
  std::vector<TokenId> out;
  for (std::size_t i = 0; i < word.size() && i < WordCache::kMaxTokens; i += 3) {
    out.push_back(static_cast<TokenId>(word.size() * 1000 + static_cast<unsigned char>(word[i])));
  }
  return out;
}

std::string random_word(std::mt19937& rng) {
  std::string word(1 + rng() % WordCache::kMaxWordBytes, ' ');
  for (char& c : word) c = static_cast<char>('a' + rng() % 4);
  return word;
}

TEST(WordCache, FindsWhatWasStoredAndNothingElse) {
  WordCache cache;
  std::mt19937 rng(1);
  int num_found = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string word = random_word(rng);
    const auto key = cache.key_of(word);
    std::vector<TokenId> found;
    if (cache.find(key, found)) {
      ASSERT_EQ(found, tokens_of(word)) << word;
      ++num_found;
    }
    cache.store(key, tokens_of(word));
  }
  EXPECT_GT(num_found, 1000);
}

TEST(WordCache, KeysTellWordsApart) {
  const WordCache cache;
  std::mt19937 rng(2);
  for (int i = 0; i < 100'000; ++i) {
    const std::string a = random_word(rng);
    std::string b = a;
    b[rng() % b.size()] = 'z';
    EXPECT_TRUE(cache.key_of(a).words != cache.key_of(b).words);
  }
}

TEST(WordCache, TooManyTokensAreNotKept) {
  WordCache cache;
  const auto key = cache.key_of("word");
  cache.store(key, std::vector<TokenId>(WordCache::kMaxTokens + 1, 1));
  std::vector<TokenId> found;
  EXPECT_FALSE(cache.find(key, found));
}

TEST(WordCache, ThreadsNeverSeeHalfAnEntry) {
  WordCache cache;
  std::atomic<int> num_wrong{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&cache, &num_wrong, t] {
        std::mt19937 rng(t);
        for (int i = 0; i < 200'000; ++i) {
          std::string word = random_word(rng);
          word.resize(std::min<std::size_t>(word.size(), 9));
          const auto key = cache.key_of(word);
          std::vector<TokenId> found;
          if (cache.find(key, found)) {
            if (found != tokens_of(word)) ++num_wrong;
          } else {
            cache.store(key, tokens_of(word));
          }
        }
      });
    }
  }
  EXPECT_EQ(num_wrong, 0);
}

}  // namespace
}  // namespace nvfp4::text
