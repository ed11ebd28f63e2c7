// What the kernels for weights in rows are given. Device pointers.
#pragma once

#include <cstdint>

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm80 {

// y[t, n] = round(sum * scale of n * factor of t + bias[n])
struct RowsOutput {
  DeviceShardScales shards;
  const float* row_scales = nullptr;  // [N], or null: those of the shards
  const float* factors = nullptr;     // [T], or null: 1
  const float* bias = nullptr;        // [N] or null
  std::uint32_t num_features = 0;     // N
  std::uint32_t num_tokens = 0;       // T
  bool is_f32 = false;
  void* y = nullptr;  // [T, N]
};

struct RowsCall {
  const std::uint8_t* weights = nullptr;  // [N, K]
  const Bf16Bits* x = nullptr;            // [T, K]
  std::uint32_t in_features = 0;          // K, a multiple of 16
  RowsOutput output;
};

// How the blocks of the kernel for many tokens share the work; TileChoice says what a span is.
struct RowsGrid {
  std::uint32_t row_tiles = 1;
  std::uint32_t token_tiles = 1;
  std::uint32_t steps = 1;        // of a tile, each of kTileStepK
  std::uint32_t span_steps = 1;   // of a span, and
  std::uint32_t num_splits = 1;   // its blocks:
  std::uint32_t split_steps = 1;  // steps of a block,
  std::uint32_t num_longer = 0;   // and one more of the first blocks of a span
  std::uint32_t parts_per_block = 1;
  std::uint32_t* arrivals = nullptr;  // [tiles], 0 before and after; with parts
  float* partials = nullptr;          // [blocks, parts_per_block, a tile's sums]; with parts
};

}  // namespace nvfp4::kernels::cuda_sm80
