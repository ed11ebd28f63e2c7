// Memory for intermediate values of a step: taken piece by piece, given back in reverse order, never grown in between.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "base/large_buffer.h"

namespace nvfp4 {

class Workspace {
 public:
  static constexpr std::size_t kAlignment = LargeBuffer::kAlignment;

  // Room for num_bytes; everything that was taken becomes invalid. Throws std::bad_alloc.
  void reserve(std::size_t num_bytes) {
    if (num_bytes > capacity_) {
      LargeBuffer memory(num_bytes);
      if (!memory.valid()) throw std::bad_alloc();
      std::memset(memory.data(), 0, num_bytes);  // so that no step waits for pages
      memory_ = std::move(memory);
      capacity_ = num_bytes;
    }
    used_ = 0;
  }

  // Bytes that take<T>(count) uses up.
  template <class T>
  [[nodiscard]] static constexpr std::size_t bytes_for(std::size_t count) {
    return (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
  }

  // Uninitialised, aligned to 64 bytes; valid until the enclosing Mark ends.
  template <class T>
  [[nodiscard]] std::span<T> take(std::size_t count) {
    const std::size_t num_bytes = bytes_for<T>(count);
    assert(used_ + num_bytes <= capacity_);
    T* const begin = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += num_bytes;
    peak_ = used_ > peak_ ? used_ : peak_;
    return {begin, count};
  }

  [[nodiscard]] std::size_t peak_bytes() const { return peak_; }

  // Gives back at its end what was taken during its life.
  class Mark {
   public:
    explicit Mark(Workspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Mark() { workspace_.used_ = used_; }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    Workspace& workspace_;
    std::size_t used_;
  };

 private:
  LargeBuffer memory_;  // capacity_ bytes
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace nvfp4
