// The shapes in which the kernels for NVFP4 weights are built.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm80 {

// A block multiplies row groups (16 rows) by columns (8 tokens), tile after tile of 64 numbers of K. Its warps share
// the row groups and the columns, and one ring of stages; or they share K, every warp all rows and columns of a tile in
// turn, with a ring each.
struct FragmentShape {
  std::uint32_t groups, columns;  // of a warp
  std::uint32_t row_warps, token_warps;
  std::uint32_t k_warps;  // above 1: row_warps and token_warps are 1
  std::uint32_t stages;
  std::uint32_t blocks_per_sm;  // that registers are left for

  [[nodiscard]] constexpr std::uint32_t warps() const { return row_warps * token_warps * k_warps; }
  [[nodiscard]] constexpr std::uint32_t threads() const { return 32 * warps(); }
  [[nodiscard]] constexpr bool shares_k() const { return k_warps > 1; }
  [[nodiscard]] constexpr std::uint32_t tile_groups() const { return groups * row_warps; }
  [[nodiscard]] constexpr std::uint32_t rows() const { return 16 * tile_groups(); }
  [[nodiscard]] constexpr std::uint32_t tokens() const { return 8 * columns * token_warps; }
  [[nodiscard]] constexpr std::uint32_t x_bytes() const { return tokens() * 128; }  // of a tile
  [[nodiscard]] constexpr std::uint32_t stage_bytes() const {
    return x_bytes() + tile_groups() * static_cast<std::uint32_t>(Fragment16x64::kBytes);
  }
  // Behind the rings: 32 bits for each token.
  [[nodiscard]] constexpr std::uint32_t rows_at() const { return stages * stage_bytes() * k_warps; }
  // Behind these: where the block's weights begin; a word for SplitSums; then what the block does.
  [[nodiscard]] constexpr std::uint32_t weights_at() const { return rows_at() + tokens() * 4; }
  [[nodiscard]] constexpr std::uint32_t arrivals_at() const { return weights_at() + 8; }
  [[nodiscard]] constexpr std::uint32_t place_at() const { return weights_at() + 16; }
  [[nodiscard]] constexpr std::uint32_t shared_bytes() const { return place_at() + 48; }
};

inline constexpr std::array<FragmentShape, 9> kFragmentShapes = {{{2, 2, 1, 1, 8, 3, 2},
                                                                  {1, 4, 4, 1, 1, 6, 4},
                                                                  {2, 4, 4, 1, 1, 4, 4},
                                                                  {2, 8, 4, 1, 1, 3, 3},
                                                                  {2, 1, 1, 1, 8, 4, 2},
                                                                  {4, 1, 1, 1, 8, 3, 2},
                                                                  {4, 1, 1, 1, 4, 3, 5},
                                                                  {4, 2, 1, 1, 4, 3, 4},
                                                                  {2, 8, 8, 1, 1, 4, 2}}};
// Linear layers have the first six, of which those for many tokens are in the middle: in these, and in the last of all,
// warps do not share K, so that the order of a sum does not depend on the shape.
inline constexpr std::size_t kNumLinearShapes = 6;
inline constexpr std::size_t kFirstManyShape = 1;
inline constexpr std::size_t kNumManyShapes = 3;
// Experts have these and all behind.
inline constexpr std::size_t kFirstExpertShape = 2;

// Of the largest; below the least that a block may have on any device since SM80 (99 KiB).
[[nodiscard]] constexpr std::uint32_t most_fragment_shared_bytes() {
  std::uint32_t most = 0;
  for (const FragmentShape& shape : kFragmentShapes) most = shape.shared_bytes() > most ? shape.shared_bytes() : most;
  return most;
}

}  // namespace nvfp4::kernels::cuda_sm80
