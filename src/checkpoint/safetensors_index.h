// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/large_pages.h"
#include "checkpoint/json_text.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

struct ShardIndex {
  static constexpr std::uint64_t kMaxBytes = 100'000'000;

  struct Entry {
    std::string_view tensor;
    std::uint32_t shard_idx = 0;  // into shards
  };
  LargeVector<Entry> entries;        // in the order of the file
  std::vector<std::string> shards;   // relative paths without "..", in name order
  std::optional<double> total_size;  // metadata.total_size: bytes of all tensors together

  // What tensor names point into.
  JsonText text;
  std::deque<std::string> unescaped;
};

// Does not look for duplicate tensor names: who matches the entries with the shards sees them.
[[nodiscard]] Result<ShardIndex> parse_shard_index(std::string_view label, JsonText text);
[[nodiscard]] Result<ShardIndex> read_shard_index(const File& file);

}  // namespace nvfp4::checkpoint
