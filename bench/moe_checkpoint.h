// Writes the experts of a mixture-of-experts model as a sharded ModelOpt NVFP4 checkpoint, to measure reading it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "nvfp4/result.h"

namespace nvfp4::bench {

struct MoeCheckpoint {
  std::uint32_t num_layers = 48;
  std::uint32_t num_experts = 128;
  std::uint32_t hidden_size = 2048;
  std::uint32_t intermediate_size = 768;
  std::uint32_t num_shards = 30;
  bool filled = false;  // false: weights and block scales are holes of sparse files; true: random sound values
};

// Four tensors (weight, weight_scale, weight_scale_2, input_scale) for each of gate, up and down of each expert, in the
// order of the Rust writer: by element type, largest first, then by name. One shard has no index.
[[nodiscard]] Status write_moe_checkpoint(const std::filesystem::path& directory, const MoeCheckpoint& model);

}  // namespace nvfp4::bench
