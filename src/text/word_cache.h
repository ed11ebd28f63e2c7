// Remembers the tokens of short pieces of text, for all threads, without locks and in a fixed amount of memory.
//
// One slot per hash; a later piece replaces an earlier one. A slot is one cache line of atomics with a version: a
// reader that saw the version change, or a writer at work, takes it for a miss.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "text/token_id.h"

namespace nvfp4::text {

class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 24;
  static constexpr std::size_t kMaxTokens = 8;

  // A short piece as three words, which together with its size determine it.
  struct Key {
    std::array<std::uint64_t, 3> words;
    std::uint64_t size;
    std::uint64_t hash;
  };

  WordCache() : slots_(kNumSlots) {
    const NameHasher hasher = NameHasher::random();
    seed_ = hasher("seed") | 1;
  }

  // `word` has 1 to kMaxWordBytes bytes.
  [[nodiscard]] Key key_of(std::string_view word) const;
  // Appends the tokens of the piece; false when they are not known.
  [[nodiscard]] bool find(const Key& key, std::vector<TokenId>& out) const;
  // Does nothing for more than kMaxTokens tokens, or when another thread writes to the slot.
  void store(const Key& key, std::span<const TokenId> tokens);

 private:
  static constexpr std::size_t kNumSlots = 1 << 14;
  static constexpr std::uint64_t kBusy = 1;  // version: busy flag, count of writes, then token count and word size
  static constexpr int kWritesShift = 1;
  static constexpr int kNumTokensShift = 48;
  static constexpr int kSizeShift = 56;

  struct alignas(64) Slot {
    std::atomic<std::uint64_t> version{0};
    std::array<std::atomic<std::uint64_t>, 3> words{};
    std::array<std::atomic<std::uint64_t>, kMaxTokens / 2> tokens{};
  };
  static_assert(sizeof(Slot) == 64);

  std::vector<Slot> slots_;
  std::uint64_t seed_ = 0;
};

inline WordCache::Key WordCache::key_of(std::string_view word) const {
  const auto load = [](const char* at, std::size_t num_bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, num_bytes);
    return value;
  };
  const char* at = word.data();
  const std::size_t size = word.size();
  Key key{{0, 0, 0}, size, 0};
  if (size >= 8) {
    key.words[0] = load(at, 8);
    key.words[1] = load(at + (size > 16 ? 8 : size - 8), 8);
    if (size > 16) key.words[2] = load(at + size - 8, 8);
  } else if (size >= 4) {
    key.words[0] = load(at, 4) | load(at + size - 4, 4) << 32;
  } else {
    key.words[0] = load(at, 1) | load(at + size / 2, 1) << 8 | load(at + size - 1, 1) << 16;
  }
  __extension__ using Wide = unsigned __int128;
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  key.hash = fold(key.words[0] ^ seed_, key.words[1] ^ (seed_ << 32 | size));
  if (size > 16) key.hash = fold(key.hash ^ key.words[2], seed_);
  return key;
}

inline bool WordCache::find(const Key& key, std::vector<TokenId>& out) const {
  const Slot& slot = slots_[key.hash % kNumSlots];
  const std::uint64_t version = slot.version.load(std::memory_order_acquire);
  if ((version & kBusy) != 0 || version >> kSizeShift != key.size) return false;
  for (std::size_t i = 0; i < key.words.size(); ++i) {
    if (slot.words[i].load(std::memory_order_acquire) != key.words[i]) return false;
  }
  const std::size_t num_tokens = version >> kNumTokensShift & 0xff;
  std::array<TokenId, kMaxTokens> tokens;
  for (std::size_t i = 0; i < num_tokens; i += 2) {
    const std::uint64_t two = slot.tokens[i / 2].load(std::memory_order_acquire);
    tokens[i] = static_cast<TokenId>(two);
    tokens[i + 1] = static_cast<TokenId>(two >> 32);
  }
  if (slot.version.load(std::memory_order_relaxed) != version) return false;
  out.insert(out.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(num_tokens));
  return true;
}

inline void WordCache::store(const Key& key, std::span<const TokenId> tokens) {
  if (tokens.size() > kMaxTokens) return;
  Slot& slot = slots_[key.hash % kNumSlots];
  std::uint64_t version = slot.version.load(std::memory_order_relaxed);
  if ((version & kBusy) != 0) return;
  if (!slot.version.compare_exchange_strong(version, version | kBusy, std::memory_order_acquire)) return;
  for (std::size_t i = 0; i < key.words.size(); ++i) slot.words[i].store(key.words[i], std::memory_order_release);
  for (std::size_t i = 0; i < tokens.size(); i += 2) {
    const std::uint64_t second = i + 1 < tokens.size() ? tokens[i + 1] : 0;
    slot.tokens[i / 2].store(second << 32 | tokens[i], std::memory_order_release);
  }
  constexpr std::uint64_t kWritesMask = (1ULL << (kNumTokensShift - kWritesShift)) - 1;
  const std::uint64_t writes = ((version >> kWritesShift) + 1) & kWritesMask;
  slot.version.store(writes << kWritesShift | std::uint64_t{tokens.size()} << kNumTokensShift | key.size << kSizeShift,
                     std::memory_order_release);
}

}  // namespace nvfp4::text
