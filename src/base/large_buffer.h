// Uninitialised memory for one large array: 2 MB pages from 1 MB on, the heap below. Aligned to 64 bytes.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <utility>

#include "base/large_pages.h"

namespace nvfp4 {

class LargeBuffer {
 public:
  static constexpr std::size_t kMinPagedBytes = 1 << 20;
  static constexpr std::size_t kAlignment = 64;

  LargeBuffer() = default;
  // Test valid(): there may not be enough memory.
  explicit LargeBuffer(std::size_t num_bytes) : size_(num_bytes) {
    const std::size_t padded = (num_bytes + kAlignment) / kAlignment * kAlignment;
    data_ = static_cast<std::byte*>(paged() ? map_large_pages(num_bytes) : std::aligned_alloc(kAlignment, padded));
  }
  ~LargeBuffer() {
    if (data_ == nullptr) return;
    if (paged()) {
      unmap_large_pages(data_, size_);
    } else {
      std::free(data_);
    }
  }
  LargeBuffer(LargeBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LargeBuffer& operator=(LargeBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] std::byte* data() { return data_; }
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  [[nodiscard]] bool paged() const { return size_ >= kMinPagedBytes; }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace nvfp4
