// The memory of a weight's elements, with room behind them: a layout that takes more bytes can be made in place.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/large_buffer.h"

namespace nvfp4::prepare {

class WeightBuffer {
 public:
  WeightBuffer() = default;
  WeightBuffer(LargeBuffer memory) : memory_(std::move(memory)), size_(memory_.size()) {}  // NOLINT: without room
  // Room that is never used costs addresses only. Test valid(): there may not be enough memory.
  WeightBuffer(std::size_t num_bytes, std::size_t num_bytes_with_room)
      : memory_(std::max(num_bytes, num_bytes_with_room)), size_(num_bytes) {}

  WeightBuffer(WeightBuffer&& other) noexcept
      : memory_(std::move(other.memory_)), size_(std::exchange(other.size_, 0)) {}
  WeightBuffer& operator=(WeightBuffer&& other) noexcept {
    memory_ = std::move(other.memory_);  // swaps
    std::swap(size_, other.size_);
    return *this;
  }

  // What is there stays, in other memory if there is no room. False, and nothing changes, when there is no memory.
  [[nodiscard]] bool grow(std::size_t num_bytes) {
    if (num_bytes > memory_.size()) {
      LargeBuffer larger(num_bytes);
      if (!larger.valid()) return false;
      if (size_ != 0) std::memcpy(larger.data(), memory_.data(), size_);
      memory_ = std::move(larger);
    }
    size_ = num_bytes;
    return true;
  }

  [[nodiscard]] bool valid() const { return memory_.valid(); }
  [[nodiscard]] std::byte* data() { return memory_.data(); }
  [[nodiscard]] const std::byte* data() const { return memory_.data(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  LargeBuffer memory_;
  std::size_t size_ = 0;
};

}  // namespace nvfp4::prepare
