// Which tiles a block of the wgmma kernels computes, and which part of K.
//
//   tile    128 or 256 rows of one expert (row groups of Fragment16x64, one for each consumer warp) x tokens
//
// An expert's tokens go in equal shares to as few tiles as hold them. Every sum runs over K in ascending order in one
// chain, whatever the tile: a token's result does not depend on the tokens beside it (but see num_splits).
#pragma once

#include <cuda.h>

#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kMaxMapExperts = 512;
inline constexpr std::uint32_t kTileSlots = 16;

// Tiles of 64 numbers of K.
struct KRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  [[nodiscard]] __device__ std::uint32_t size() const { return end - begin; }
};

// What is multiplied: weights of all experts, and which tokens go to which.
struct WgmmaProblem {
  CUtensorMap weights;                    // weight_map()
  const std::int32_t* offsets = nullptr;  // [E + 1] first sorted row of each expert; null: one expert, num_rows
  std::uint32_t num_experts = 1;
  std::uint32_t num_rows = 0;     // tokens, without offsets
  std::uint32_t row_groups = 0;   // of one expert
  std::uint32_t k_tiles = 0;      // ceil(K / 64)
  std::uint32_t in_features = 0;  // K
  std::uint32_t tile_groups = 0;  // row groups of a tile, WgmmaShape::kTileGroups
  std::uint32_t row_tiles = 0;    // ceil(row_groups / tile_groups)
  std::uint32_t band = 0;         // row tiles that are computed side by side for the same tokens
  std::uint32_t max_columns = 0;  // tokens of a tile at most, a multiple of 8
  std::uint32_t sixteen = 16;     // of decode_row_scales()
  std::uint32_t num_splits = 1;   // blocks that share K; above 1: one tile for these blocks
  // What add_splits_in_memory() needs: float32 [tiles][warps][num_splits][sums of a warp], and 0 [tiles][warps].
  float4* parts = nullptr;
  std::uint32_t* arrivals = nullptr;
};

// Without initialisers: it lies in shared memory.
struct alignas(16) WgmmaTile {
  std::uint32_t expert;
  std::uint32_t first_group;  // of the expert's row groups
  std::uint32_t num_groups;
  std::uint32_t first_row;    // sorted row (token) of column 0
  std::uint32_t image_row;    // the same in an array where every expert starts at a multiple of 8
  std::uint32_t num_valid;    // tokens
  std::uint32_t num_columns;  // num_valid up to a multiple of 8
};

// The tiles of all experts in order of the expert; within it, bands of row tiles, and in a band token by token.
struct TileMap {
  std::uint32_t first_tile[kMaxMapExperts + 1];  // token tiles before the expert
  std::uint32_t first_row[kMaxMapExperts + 1];
  std::uint32_t warp_sums[32];
  WgmmaTile tiles[kTileSlots];  // from producers to consumers, in order, before a tile's first stage is full

  // By all threads of the block; synchronises them.
  __device__ void build(const WgmmaProblem& problem) {
    std::uint32_t before = 0;  // tiles of experts that were counted in an earlier round
    for (std::uint32_t first = 0; first < problem.num_experts; first += blockDim.x) {
      before += count(problem, first + threadIdx.x, before);
    }
    __syncthreads();
  }

  [[nodiscard]] __device__ std::uint32_t num_tiles(const WgmmaProblem& problem) const {
    return first_tile[problem.num_experts] * problem.row_tiles;
  }

  [[nodiscard]] __device__ WgmmaTile find(const WgmmaProblem& problem, std::uint32_t tile_idx) const {
    const std::uint32_t token_tile = tile_idx / problem.row_tiles;
    std::uint32_t low = 0;
    std::uint32_t high = problem.num_experts;  // first_tile[low] <= token_tile < first_tile[high]
    while (high - low > 1) {
      const std::uint32_t middle = (low + high) / 2;
      (first_tile[middle] <= token_tile ? low : high) = middle;
    }
    const std::uint32_t num_token_tiles = first_tile[low + 1] - first_tile[low];
    const std::uint32_t in_expert = tile_idx - first_tile[low] * problem.row_tiles;
    const std::uint32_t band_idx = in_expert / (problem.band * num_token_tiles);
    const std::uint32_t in_band = in_expert - band_idx * problem.band * num_token_tiles;
    const std::uint32_t width = min(problem.band, problem.row_tiles - band_idx * problem.band);

    WgmmaTile tile;
    tile.expert = low;
    tile.first_group = (band_idx * problem.band + in_band % width) * problem.tile_groups;
    tile.num_groups = min(problem.tile_groups, problem.row_groups - tile.first_group);
    const std::uint32_t begin = first_row[low];
    const std::uint32_t num_rows = first_row[low + 1] - begin;
    const std::uint32_t share = ((num_rows + num_token_tiles - 1) / num_token_tiles + 7) / 8 * 8;
    const std::uint32_t first = in_band / width * share;
    tile.first_row = begin + first;
    tile.image_row = (begin + 7) / 8 * 8 + 8 * low + first;
    tile.num_valid = min(share, num_rows - first);
    tile.num_columns = (tile.num_valid + 7) / 8 * 8;
    return tile;
  }

 private:
  // One expert a thread. Returns the tiles of all of them.
  __device__ std::uint32_t count(const WgmmaProblem& problem, std::uint32_t expert, std::uint32_t before) {
    const std::uint32_t warp = threadIdx.x / 32;
    const std::uint32_t lane = threadIdx.x % 32;
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    if (expert < problem.num_experts) {
      begin = problem.offsets != nullptr ? __ldcg(problem.offsets + expert) : 0;
      end = problem.offsets != nullptr ? __ldcg(problem.offsets + expert + 1) : problem.num_rows;
    }
    const std::uint32_t own = (end - begin + problem.max_columns - 1) / problem.max_columns;
    std::uint32_t sum = own;
    for (std::uint32_t step = 1; step < 32; step *= 2) {
      const std::uint32_t others = __shfl_up_sync(0xFFFFFFFFU, sum, step);
      if (lane >= step) sum += others;
    }
    __syncthreads();  // warp_sums of an earlier round are read
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    std::uint32_t total = 0;
    for (std::uint32_t other = 0; other < blockDim.x / 32; ++other) {
      if (other == warp) sum += before + total;
      total += warp_sums[other];
    }
    if (expert < problem.num_experts) {
      first_tile[expert] = sum - own;
      first_row[expert] = begin;
      if (expert + 1 == problem.num_experts) {
        first_tile[expert + 1] = sum;
        first_row[expert + 1] = end;
      }
    }
    return total;
  }
};

// The tiles of a block, and its part of K.
struct TileRange {
  KRange k;
  std::uint32_t tile_idx;
  std::uint32_t num_tiles;

  __device__ TileRange(const WgmmaProblem& problem, const TileMap& map, std::uint32_t stage_tiles)
      : k{0, problem.k_tiles}, tile_idx(blockIdx.x), num_tiles(map.num_tiles(problem)) {
    if (problem.num_splits == 1) return;
    tile_idx /= problem.num_splits;
    const std::uint32_t part = blockIdx.x % problem.num_splits;
    const std::uint32_t num_stages = (problem.k_tiles + stage_tiles - 1) / stage_tiles;
    k.begin = num_stages * part / problem.num_splits * stage_tiles;
    k.end = min(num_stages * (part + 1) / problem.num_splits * stage_tiles, problem.k_tiles);
  }
  [[nodiscard]] __device__ bool done() const { return tile_idx >= num_tiles; }
  __device__ void advance() { tile_idx += gridDim.x; }  // split: there is no second one
};

}  // namespace nvfp4::kernels::cuda_sm90
