// How blocks share the steps of tiles, and parts of K that several of them sum up, added in ascending order by the
// block of a tile that ends last.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/ptx/grids.cuh"
#include "kernels/cuda_sm80/linear_rows_call.h"

namespace nvfp4::kernels::cuda_sm80 {

// Tiles that run at once lie together: bands of kBandTiles tiles of rows, in a band tokens after tokens.
struct TilePlace {
  std::uint32_t row_tile, token_tile;

  __device__ __forceinline__ TilePlace(const RowsGrid& grid, std::uint32_t tile) {
    constexpr std::uint32_t kBandTiles = 8;
    const std::uint32_t band = tile / (kBandTiles * grid.token_tiles);
    const std::uint32_t in_band = tile - band * kBandTiles * grid.token_tiles;
    const std::uint32_t band_tiles = min(kBandTiles, grid.row_tiles - band * kBandTiles);
    row_tile = band * kBandTiles + in_band % band_tiles;
    token_tile = in_band / band_tiles;
  }
};

// Steps of all tiles, one tile after the other; every block has consecutive ones.
class BlockSteps {
 public:
  __device__ __forceinline__ explicit BlockSteps(const RowsGrid& grid) : grid_(grid) {}

  [[nodiscard]] __device__ __forceinline__ std::uint32_t first_of(std::uint32_t block) const {
    const std::uint32_t span = block / grid_.num_splits;
    const std::uint32_t split = block - span * grid_.num_splits;
    return span * grid_.span_steps + split * grid_.split_steps + min(split, grid_.num_longer);
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t block_of(std::uint32_t step) const {
    const std::uint32_t span = step / grid_.span_steps;
    const std::uint32_t in_span = step - span * grid_.span_steps;
    const std::uint32_t of_longer = grid_.num_longer * (grid_.split_steps + 1);
    const std::uint32_t split = in_span < of_longer ? in_span / (grid_.split_steps + 1)
                                                    : grid_.num_longer + (in_span - of_longer) / grid_.split_steps;
    return span * grid_.num_splits + split;
  }

 private:
  const RowsGrid& grid_;
};

// Consecutive steps of one tile, those of this block, and who has the others.
struct TileSteps {
  std::uint32_t tile;
  std::uint32_t begin, end;               // in the tile
  std::uint32_t first_block, last_block;  // of the tile
  std::uint32_t first_part;               // the first block's: its second one where it began in the tile before

  // From a step of all tiles' on.
  __device__ __forceinline__ TileSteps(const RowsGrid& grid, std::uint32_t first)
      : tile(first / grid.steps), begin(first - tile * grid.steps) {
    const BlockSteps steps(grid);
    const std::uint32_t first_step = tile * grid.steps;
    end = min(grid.steps, steps.first_of(blockIdx.x + 1) - first_step);
    first_block = steps.block_of(first_step);
    last_block = steps.block_of(first_step + grid.steps - 1);
    first_part = first_block * grid.parts_per_block + (steps.first_of(first_block) < first_step ? 1 : 0);
  }
  // Of all tiles' steps, the one behind.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t behind(const RowsGrid& grid) const {
    return tile * grid.steps + end;
  }
  [[nodiscard]] __device__ __forceinline__ bool are_all() const { return first_block == last_block; }
};

// A block's sums: of a part [kRows * kColumns][threads][4].
template <std::uint32_t kThreads, std::uint32_t kRows, std::uint32_t kColumns>
struct SplitSums {
  using Sums = float[kRows][kColumns][4];
  static constexpr std::uint32_t kPartFloats = kRows * kColumns * kThreads * 4;

  __device__ __forceinline__ static void store(float* part, const Sums& sums) {
#pragma unroll
    for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
      const float(&from)[4] = sums[i / kColumns][i % kColumns];
      reinterpret_cast<float4*>(part)[i * kThreads + threadIdx.x] = {from[0], from[1], from[2], from[3]};
    }
  }
  __device__ __forceinline__ static void add(const float* part, Sums& sums) {
    const auto* from = reinterpret_cast<const float4*>(part) + threadIdx.x;
#pragma unroll
    for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
      float(&to)[4] = sums[i / kColumns][i % kColumns];
      const float4 more = __ldcg(from + i * kThreads);
      to[0] += more.x, to[1] += more.y, to[2] += more.z, to[3] += more.w;
    }
  }

  // The last block of a tile to come here, as an integer counts, adds up the parts of all: true for it. `word` is one
  // that is free; both are in shared memory.
  __device__ __forceinline__ static bool gather(const RowsGrid& grid, const TileSteps& steps,
                                                volatile std::uint32_t* word, Sums& sums) {
    const auto part_of = [&](std::uint32_t block) {
      const std::uint32_t idx = block == steps.first_block ? steps.first_part : block * grid.parts_per_block;
      return grid.partials + std::size_t{idx} * kPartFloats;
    };
    store(part_of(blockIdx.x), sums);
    __syncthreads();
    if (threadIdx.x == 0) {
      const std::uint32_t num_others = steps.last_block - steps.first_block;
      const std::uint32_t before = count_arrival(grid.arrivals + steps.tile);
      if (before == num_others) grid.arrivals[steps.tile] = 0;
      *word = before == num_others ? 1 : 0;
    }
    __syncthreads();
    if (*word == 0) return false;
#pragma unroll
    for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
      float(&to)[4] = sums[i / kColumns][i % kColumns];
      to[0] = to[1] = to[2] = to[3] = 0.0F;
    }
    // Several parts at once where registers are left.
    constexpr int kAtOnce = kRows * kColumns <= 8 ? 4 : 1;
#pragma unroll kAtOnce
    for (std::uint32_t block = steps.first_block; block <= steps.last_block; ++block) add(part_of(block), sums);
    return true;
  }
};

}  // namespace nvfp4::kernels::cuda_sm80
