// The kernel for NVFP4 weights in all shapes. A job says which rows a block multiplies by which columns, and where sums
// go:
//
//   matrices(place), row_of(place, column)    what is multiplied
//   Terms terms(place, group)                 of rows g and g + 8 of a row group of the place
//   put(place, terms, group, column, sums)    a lane's sums of one product m16n8k16, whole warps together
//
// Warps that share K add up their sums in their order. Bound: memory for few columns of each weight, the tensor cores
// for many.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm80/fragment_tile.cuh"

namespace nvfp4::kernels::cuda_sm80 {

// Tiles of 64 numbers of K.
struct TileSpan {
  std::uint32_t begin = 0, end = 0;
};

template <std::uint32_t kShapeIdx>
class FragmentLoop {
 public:
  using Tile = FragmentTile<kShapeIdx>;
  static constexpr FragmentShape kShape = Tile::kShape;

  // Copies of weights begin at once; x is read after `wait`.
  template <class Wait>
  __device__ __forceinline__ static void run(Tile& tile, TileSpan span, std::uint8_t* shared, Wait wait) {
    constexpr std::uint32_t kAhead = kShape.stages - 1;
    const std::uint32_t warp = threadIdx.x / 32;
    const std::uint32_t first = span.begin + (kShape.shares_k() ? warp : 0);
    constexpr std::uint32_t kStep = kShape.shares_k() ? kShape.warps() : 1;
    std::uint8_t* const ring = shared + (kShape.shares_k() ? warp * kShape.stages * kShape.stage_bytes() : 0);
    const std::uint32_t ring_address = shared_address(ring);
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      if (first + i * kStep < span.end) tile.copy_weights(ring_address + i * kShape.stage_bytes(), first + i * kStep);
    }
    wait();
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      if (first + i * kStep < span.end) tile.copy_x(ring_address + i * kShape.stage_bytes(), first + i * kStep);
      end_copies();
    }
    constexpr std::uint32_t kLastStage = kAhead * kShape.stage_bytes();
    std::uint32_t stage = 0;  // of tile k
#pragma unroll 1
    for (std::uint32_t k = first; k < span.end; k += kStep) {
      wait_for_copies<kAhead - 1>();
      if constexpr (kShape.shares_k()) {
        __syncwarp();
      } else {
        __syncthreads();
      }
      if (k + kAhead * kStep < span.end) {  // to where all have read everything
        const std::uint32_t before = stage == 0 ? kLastStage : stage - kShape.stage_bytes();
        tile.copy_weights(ring_address + before, k + kAhead * kStep);
        tile.copy_x(ring_address + before, k + kAhead * kStep);
      }
      end_copies();
      tile.multiply(ring + stage, ring_address + stage);
      stage = stage == kLastStage ? 0 : stage + kShape.stage_bytes();
    }
  }
};

// Sums of the warps of a block, all of it: [warp][group, column][4][lane].
template <std::uint32_t kShapeIdx>
__device__ __forceinline__ void store_warp_sums(const FragmentTile<kShapeIdx>& tile, float* parts) {
  constexpr std::uint32_t kProducts = FragmentTile<kShapeIdx>::kGroups * FragmentTile<kShapeIdx>::kColumns;
  float* const to = parts + threadIdx.x / 32 * (kProducts * 128) + threadIdx.x % 32;
#pragma unroll
  for (std::uint32_t i = 0; i < kProducts; ++i) {
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) {
      to[(i * 4 + j) * 32] = tile.sums[i / FragmentTile<kShapeIdx>::kColumns][i % FragmentTile<kShapeIdx>::kColumns][j];
    }
  }
}

// From the sums of a block to where the job puts them. The ring is free.
template <std::uint32_t kShapeIdx, class Job, class Place>
__device__ __forceinline__ void put_sums(FragmentTile<kShapeIdx>& tile, const Job& job, const Place& place,
                                         std::uint8_t* shared) {
  using Tile = FragmentTile<kShapeIdx>;
  constexpr FragmentShape kShape = Tile::kShape;
  const std::uint32_t warp = threadIdx.x / 32;
  if constexpr (kShape.shares_k()) {
    constexpr std::uint32_t kProducts = Tile::kGroups * Tile::kColumns;
    static_assert(kProducts <= kShape.warps());
    auto* const parts = reinterpret_cast<float*>(shared);
    store_warp_sums(tile, parts);
    __syncthreads();
    if (warp >= kProducts) return;
    float sums[4] = {};
    const float* from = parts + warp * 128 + threadIdx.x % 32;
    for (std::uint32_t i = 0; i < kShape.warps(); ++i, from += kProducts * 128) {
#pragma unroll
      for (std::uint32_t j = 0; j < 4; ++j) sums[j] += from[j * 32];
    }
    const std::uint32_t group = warp / Tile::kColumns;
    if (group < place.num_groups) job.put(place, job.terms(place, group), group, warp % Tile::kColumns, sums);
  } else {
#pragma unroll
    for (std::uint32_t i = 0; i < Tile::kGroups; ++i) {
      const std::uint32_t group = Tile::first_group() + i;
      if (group >= place.num_groups) break;
      const auto terms = job.terms(place, group);
#pragma unroll
      for (std::uint32_t column = 0; column < Tile::kColumns; ++column) {
        job.put(place, terms, group, Tile::first_column() + column, tile.sums[i][column]);
      }
    }
  }
}

}  // namespace nvfp4::kernels::cuda_sm80
