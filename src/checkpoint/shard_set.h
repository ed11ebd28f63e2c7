// Which safetensors files make up a model, opened and read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/name_table.h"
#include "checkpoint/model_root.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_index.h"
#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

inline constexpr const char* kIndexFileName = "model.safetensors.index.json";
inline constexpr const char* kSingleFileName = "model.safetensors";

struct Shard {
  std::string name;  // relative to the model folder
  std::shared_ptr<const File> file;
  SafetensorsHeader header;
};

// Stands for a set of distinct names: equal sums of seeded 64-bit hashes mean equal sets but for a chance of 2^-64.
struct NameSum {
  std::uint64_t sum = 0;
  std::uint64_t count = 0;
  void add(std::uint64_t hash) {
    sum += hash;
    ++count;
  }
  friend bool operator==(const NameSum&, const NameSum&) = default;
};

struct ShardSet {
  std::vector<Shard> shards;
  std::optional<ShardIndex> index;
  std::string index_label;
  std::vector<NameSum> index_sums;  // [index->shards]
  std::vector<Finding> ignored;     // *.safetensors files that do not belong to it
};

// By the index; without one model.safetensors; without that all *.safetensors.
[[nodiscard]] Result<ShardSet> open_shard_set(const ModelRoot& root, const NameHasher& hasher);

}  // namespace nvfp4::checkpoint
