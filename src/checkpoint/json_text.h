// JSON text in memory, with the readable bytes behind it that the parser needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include "base/large_pages.h"

namespace nvfp4::checkpoint {

class JsonText {
 public:
  static constexpr std::size_t kPaddingBytes = 64;

  JsonText() = default;
  // Not to be copied: names and shapes point into the one text and what lives beside it.
  JsonText(JsonText&&) noexcept = default;
  JsonText& operator=(JsonText&&) noexcept = default;
  // Room for `num_bytes`, to be filled through bytes(). Test valid(): there may not be enough memory.
  JsonText(std::size_t num_bytes, LargePagePool& pool)
      : data_(num_bytes >= kMinPoolBytes ? pool.allocate(num_bytes + kPaddingBytes) : heap(num_bytes)),
        num_bytes_(num_bytes) {
    if (data_ != nullptr) std::fill_n(data_.get() + num_bytes, kPaddingBytes, '\0');
  }
  explicit JsonText(std::string_view text) : data_(heap(text.size())), num_bytes_(text.size()) {
    if (data_ == nullptr) return;
    std::copy(text.begin(), text.end(), data_.get());
    std::fill_n(data_.get() + num_bytes_, kPaddingBytes, '\0');
  }

  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] std::string_view view() const { return {data_.get(), num_bytes_}; }
  [[nodiscard]] std::span<std::byte> bytes() { return {reinterpret_cast<std::byte*>(data_.get()), num_bytes_}; }

 private:
  static constexpr std::size_t kMinPoolBytes = 64 << 10;
  static std::shared_ptr<char> heap(std::size_t num_bytes) {
    return {new (std::nothrow) char[num_bytes + kPaddingBytes], std::default_delete<char[]>()};
  }

  std::shared_ptr<char> data_;
  std::size_t num_bytes_ = 0;
};

}  // namespace nvfp4::checkpoint
