// The shapes of blocks that multiply FP4 numbers: rows of weights by tokens, K in chunks of 256 columns.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "layouts/quantized_rows_256.h"

namespace nvfp4::kernels::cuda_sm120 {

inline constexpr std::uint32_t kChunkTiles = 4;                       // tiles of 64 columns
inline constexpr std::uint32_t kRowBytes = QuantizedRows256::kBytes;  // of a row in a chunk: weights take as much
inline constexpr std::uint32_t kGroupBytes = 16 * kRowBytes;

// One warp copies, the others multiply: each 32 rows by 8 * columns tokens, and, of the tiles of a chunk, every
// depth_warps-th.
struct Fp4Shape {
  std::uint32_t row_warps, token_warps, depth_warps;
  std::uint32_t columns;  // of 8 tokens
  std::uint32_t stages;   // of a chunk each
  std::uint32_t blocks_per_sm;

  [[nodiscard]] constexpr std::uint32_t groups() const { return 2 * row_warps; }
  [[nodiscard]] constexpr std::uint32_t rows() const { return 32 * row_warps; }
  [[nodiscard]] constexpr std::uint32_t tokens() const { return 8 * columns * token_warps; }
  [[nodiscard]] constexpr std::uint32_t warps() const { return row_warps * token_warps * depth_warps; }
  [[nodiscard]] constexpr std::uint32_t threads() const { return 32 * (warps() + 1); }
  // Shared memory, from its first byte on: stages; sums of warps that share rows and tokens; two barriers for each
  // stage, and a word; the first tile of each expert.
  [[nodiscard]] constexpr std::uint32_t stage_bytes() const { return (rows() + tokens()) * kRowBytes; }
  [[nodiscard]] constexpr std::uint32_t sums_at() const { return stages * stage_bytes(); }
  [[nodiscard]] constexpr std::uint32_t warp_sums_bytes() const { return 2 * columns * 512; }
  [[nodiscard]] constexpr std::uint32_t barriers_at() const {
    return sums_at() + (depth_warps == 1 ? 0 : warps() * warp_sums_bytes());
  }
  [[nodiscard]] constexpr std::uint32_t word_at() const { return barriers_at() + 16 * stages; }
  [[nodiscard]] constexpr std::uint32_t experts_at() const { return word_at() + 16; }
  [[nodiscard]] constexpr std::uint32_t shared_bytes() const { return experts_at() + (kMaxMoeExperts + 4) * 4; }
};

inline constexpr std::array<Fp4Shape, 4> kFp4Shapes = {{
    {1, 1, 4, 1, 7, 2},  // 32 rows, 8 tokens
    {1, 2, 2, 2, 4, 2},  // 32 rows, 32 tokens
    {2, 4, 1, 2, 5, 1},  // 64 rows, 64 tokens
    {4, 2, 1, 8, 2, 1},  // 128 rows, 128 tokens
}};
// From this one on the order of a sum is the same: K from its begin to its end.
inline constexpr std::uint32_t kFirstOrderedShape = 2;

constexpr bool shapes_fit(std::uint32_t shared_bytes_per_block, std::uint32_t shared_bytes_per_sm) {
  for (const Fp4Shape& shape : kFp4Shapes) {
    const std::uint32_t bytes = shape.shared_bytes();
    if (bytes > shared_bytes_per_block || shape.blocks_per_sm * (bytes + 1024) > shared_bytes_per_sm) return false;
  }
  return true;
}
static_assert(shapes_fit(101376, 102400), "SM120 has no more");

}  // namespace nvfp4::kernels::cuda_sm120
