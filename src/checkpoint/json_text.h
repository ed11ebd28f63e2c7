// JSON text in memory, with the readable bytes behind it that the parser needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>

namespace nvfp4::checkpoint {

class JsonText {
 public:
  static constexpr std::size_t kPaddingBytes = 64;

  JsonText() = default;
  // Room for `num_bytes`, to be filled through bytes(). Test valid(): there may not be enough memory.
  explicit JsonText(std::size_t num_bytes)
      : data_(new(std::nothrow) char[num_bytes + kPaddingBytes]), num_bytes_(num_bytes) {
    if (data_ != nullptr) std::fill_n(data_.get() + num_bytes, kPaddingBytes, '\0');
  }
  explicit JsonText(std::string_view text) : JsonText(text.size()) {
    if (data_ != nullptr && !text.empty()) std::memcpy(data_.get(), text.data(), text.size());
  }

  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] std::string_view view() const { return {data_.get(), num_bytes_}; }
  [[nodiscard]] std::span<std::byte> bytes() { return {reinterpret_cast<std::byte*>(data_.get()), num_bytes_}; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t num_bytes_ = 0;
};

}  // namespace nvfp4::checkpoint
