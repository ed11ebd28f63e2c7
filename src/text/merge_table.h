// The merges of a BPE model: which two neighbouring tokens become which one, and in what order of preference.
#pragma once

#include <cstdint>
#include <limits>

#include "base/large_pages.h"
#include "base/name_table.h"
#include "text/token_id.h"

namespace nvfp4::text {

// Rank and result in one number, so that the smallest is the merge that comes first.
using Merge = std::uint64_t;
inline constexpr Merge kNoMerge = std::numeric_limits<Merge>::max();
[[nodiscard]] inline Merge make_merge(std::uint32_t rank, TokenId result) { return std::uint64_t{rank} << 32 | result; }
[[nodiscard]] inline TokenId result_of(Merge merge) { return static_cast<TokenId>(merge); }
[[nodiscard]] inline std::uint32_t rank_of(Merge merge) { return static_cast<std::uint32_t>(merge >> 32); }

// Open addressing, at most half full, hashed with a seed of its own.
class MergeTable {
 public:
  explicit MergeTable(std::size_t num_merges) {
    const NameHasher hasher = NameHasher::random();
    seed_a_ = hasher("a");
    seed_b_ = hasher("b") | 1;
    std::size_t num_slots = 16;
    while (num_slots < num_merges * 2) num_slots *= 2;
    slots_.assign(num_slots, Slot{});
    mask_ = num_slots - 1;
  }

  [[nodiscard]] Merge find(TokenId left, TokenId right) const {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].key == key || slots_[at].merge == kNoMerge) return slots_[at].merge;
    }
  }
  // A pair that is there already gets the new merge.
  void set(TokenId left, TokenId right, Merge merge) {
    const std::uint64_t key = key_of(left, right);
    std::size_t at = hash(key) & mask_;
    while (slots_[at].merge != kNoMerge && slots_[at].key != key) at = (at + 1) & mask_;
    slots_[at] = {key, merge};
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Merge merge = kNoMerge;
  };
  static std::uint64_t key_of(TokenId left, TokenId right) { return std::uint64_t{left} << 32 | right; }
  [[nodiscard]] std::uint64_t hash(std::uint64_t key) const {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(key ^ seed_a_) * seed_b_;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  LargeVector<Slot> slots_;
  std::size_t mask_ = 0;
  std::uint64_t seed_a_ = 0;
  std::uint64_t seed_b_ = 0;
};

}  // namespace nvfp4::text
