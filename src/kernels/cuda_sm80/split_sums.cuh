// Parts of K that several blocks sum up, added in ascending order by the block of a tile that ends last.
#pragma once

#include <cstdint>

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
  __device__ __forceinline__ static void add(const float* parts, std::uint32_t num_parts, Sums& sums) {
    const auto* from = reinterpret_cast<const float4*>(parts) + threadIdx.x;
    // Several parts at once where registers are left.
    constexpr int kAtOnce = kRows * kColumns <= 8 ? 4 : 1;
#pragma unroll kAtOnce
    for (std::uint32_t part = 0; part < num_parts; ++part, from += kPartFloats / 4) {
#pragma unroll
      for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
        float(&to)[4] = sums[i / kColumns][i % kColumns];
        if (part == 0) to[0] = to[1] = to[2] = to[3] = 0.0F;
        const float4 more = __ldcg(from + i * kThreads);
        to[0] += more.x, to[1] += more.y, to[2] += more.z, to[3] += more.w;
      }
    }
  }

  // The last block of a tile to come here, as an integer counts, adds up the parts of all: true for it. `shared` is a
  // word that is free.
  __device__ __forceinline__ static bool gather(const RowsGrid& grid, std::uint32_t tile_idx, std::uint32_t split,
                                                volatile std::uint32_t* shared, Sums& sums) {
    float* const parts = grid.partials + std::size_t{tile_idx} * grid.num_splits * kPartFloats;
    store(parts + std::size_t{split} * kPartFloats, sums);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      const std::uint32_t before = atomicAdd(grid.arrivals + tile_idx, 1U);
      if (before + 1 == grid.num_splits) grid.arrivals[tile_idx] = 0;
      *shared = before + 1;
    }
    __syncthreads();
    if (*shared != grid.num_splits) return false;
    __threadfence();
    add(parts, grid.num_splits, sums);
    return true;
  }
};

}  // namespace nvfp4::kernels::cuda_sm80
