// A hash index over names that live elsewhere: it holds hashes and indices only.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/large_pages.h"

namespace nvfp4 {

// Seeded, so that nobody can prepare a file whose names all collide. Not for storage: the seed differs per process.
class NameHasher {
 public:
  NameHasher(std::uint64_t seed_a, std::uint64_t seed_b) : seed_a_(seed_a), seed_b_(seed_b) {}
  [[nodiscard]] static NameHasher random();

  [[nodiscard]] std::uint64_t operator()(std::string_view name) const {
    const char* at = name.data();
    std::size_t left = name.size();
    std::uint64_t state = seed_b_ ^ left;
    for (; left > 16; at += 16, left -= 16) state = fold(load(at) ^ seed_a_, load(at + 8) ^ state);
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    if (left >= 8) {
      low = load(at);
      high = load(at + left - 8);
    } else if (left > 0) {
      std::memcpy(&low, at, left);
    }
    return fold(fold(low ^ seed_a_, high ^ state), seed_a_ ^ kOdd);
  }

 private:
  static constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  __extension__ using Wide = unsigned __int128;

  static std::uint64_t load(const char* at) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  std::uint64_t seed_a_;
  std::uint64_t seed_b_;
};

// Open addressing; at most 2/3 full when no more names come than announced.
class NameTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  NameTable() = default;
  explicit NameTable(std::size_t num_names) {
    std::size_t num_slots = 16;
    while (num_slots < num_names + num_names / 2) num_slots *= 2;
    slots_.assign(num_slots, Slot{});
    mask_ = num_slots - 1;
  }

  // The index that `same(index)` accepts among those with this hash, or kNone.
  template <class Same>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, Same&& same) const {
    if (slots_.empty()) return kNone;
    const Slot& slot = slots_[locate(hash, same)];
    return slot.index;
  }

  // Asks for the memory that a search for `hash` will need first.
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  // What a search for `hash` will look at first, or kNone.
  [[nodiscard]] std::uint32_t first_guess(std::uint64_t hash) const { return slots_[hash & mask_].index; }

  // Adds `index`, unless an equal one is there already: then answers that one. kNone: added.
  template <class Same>
  std::uint32_t insert(std::uint64_t hash, std::uint32_t index, Same&& same) {
    Slot& slot = slots_[locate(hash, same)];
    if (slot.index != kNone) return slot.index;
    slot = Slot{tag_of(hash), index};
    return kNone;
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t index = kNone;
  };
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

  template <class Same>
  std::size_t locate(std::uint64_t hash, Same&& same) const {
    std::size_t slot_idx = hash & mask_;
    for (;; slot_idx = (slot_idx + 1) & mask_) {
      const Slot& slot = slots_[slot_idx];
      if (slot.index == kNone || (slot.tag == tag_of(hash) && same(slot.index))) return slot_idx;
    }
  }

  LargeVector<Slot> slots_;
  std::size_t mask_ = 0;
};

}  // namespace nvfp4
