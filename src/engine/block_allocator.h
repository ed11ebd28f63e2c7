// Which blocks of the key-value cache are free. Knows nothing of who holds the others.
#pragma once

#include <cassert>
#include <cstdint>
#include <numeric>
#include <vector>

namespace nvfp4::engine {

class BlockAllocator {
 public:
  explicit BlockAllocator(std::uint32_t num_blocks) : free_(num_blocks), num_blocks_(num_blocks) {
    std::iota(free_.rbegin(), free_.rend(), 0U);
  }

  [[nodiscard]] std::uint32_t num_blocks() const { return num_blocks_; }
  [[nodiscard]] std::uint32_t num_free() const { return static_cast<std::uint32_t>(free_.size()); }

  // There must be a free one. The block that was released last comes first: it is the most likely to be in a cache.
  [[nodiscard]] std::uint32_t allocate() {
    assert(!free_.empty());
    const std::uint32_t block_idx = free_.back();
    free_.pop_back();
    return block_idx;
  }

  // Never allocates memory.
  void release(std::uint32_t block_idx) {
    assert(block_idx < num_blocks_ && free_.size() < num_blocks_);
    free_.push_back(block_idx);
  }

 private:
  std::vector<std::uint32_t> free_;
  std::uint32_t num_blocks_;
};

}  // namespace nvfp4::engine
