// One safetensors file: 8 bytes little-endian N, N bytes of JSON, then the tensors' bytes without gap or overlap.
// Accepts what the Rust package `safetensors` accepts, but duplicate keys, which it lets pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/large_pages.h"
#include "base/name_table.h"
#include "checkpoint/json_text.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

struct SafetensorsHeader {
  PoolArray<StoredTensor> tensors;       // in the order of their bytes; file_idx is 0
  PoolArray<std::uint64_t> name_hashes;  // [tensors]
  std::uint64_t num_tensor_bytes = 0;    // of all tensors together

  // What names and shapes point into.
  JsonText text;
  std::vector<std::uint64_t> dims;
  std::deque<std::string> unescaped;
};

// Reads headers one after the other and keeps the parser's memory between them.
class SafetensorsParser {
 public:
  static constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

  explicit SafetensorsParser(NameHasher hasher);
  SafetensorsParser(SafetensorsParser&&) noexcept;
  ~SafetensorsParser();

  // Leaves one thing to the caller, who puts the names of all files into a table anyway: two tensors without bytes may
  // have the same name.
  [[nodiscard]] Result<SafetensorsHeader> read(const File& file);
  // A whole file in memory; names are known to differ.
  [[nodiscard]] Result<SafetensorsHeader> parse(std::string_view label, std::span<const std::byte> whole_file);

 private:
  struct State;
  [[nodiscard]] Result<SafetensorsHeader> parse_header(std::string_view label, JsonText text, std::uint64_t file_bytes);

  std::unique_ptr<State> state_;
};

}  // namespace nvfp4::checkpoint
