// Memory for many small arrays that live and die together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace nvfp4 {

class Arena {
 public:
  // An uninitialised array; valid as long as the arena, also when the arena moves.
  template <class T>
  [[nodiscard]] std::span<T> allocate(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    const std::size_t num_bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (num_bytes > left_) grow(num_bytes);
    T* const data = reinterpret_cast<T*>(next_);
    next_ += num_bytes;
    left_ -= num_bytes;
    return {data, count};
  }

  template <class T>
  [[nodiscard]] std::span<const T> copy(std::span<const T> values) {
    const std::span<T> out = allocate<T>(values.size());
    std::copy(values.begin(), values.end(), out.begin());
    return out;
  }
  [[nodiscard]] std::string_view copy(std::string_view text) {
    const std::span<char> out = allocate<char>(text.size());
    std::copy(text.begin(), text.end(), out.begin());
    return {out.data(), out.size()};
  }

  // Takes over the arrays of another arena.
  void adopt(Arena other) {
    for (auto& chunk : other.chunks_) chunks_.push_back(std::move(chunk));
  }

 private:
  static constexpr std::size_t kAlignment = 8;
  static constexpr std::size_t kChunkBytes = 256 << 10;

  void grow(std::size_t num_bytes) {
    left_ = std::max(num_bytes, kChunkBytes);
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(left_));
    next_ = chunks_.back().get();
  }

  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace nvfp4
