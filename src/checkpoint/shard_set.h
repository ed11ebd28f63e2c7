// Which safetensors files make up a model, opened and read.
#pragma once

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

struct ShardSet {
  std::vector<Shard> shards;
  std::optional<ShardIndex> index;
  std::string index_label;
  std::vector<Finding> ignored;  // *.safetensors files that do not belong to it
};

// By the index; without one model.safetensors; without that all *.safetensors.
[[nodiscard]] Result<ShardSet> open_shard_set(const ModelRoot& root, const NameHasher& hasher);

}  // namespace nvfp4::checkpoint
