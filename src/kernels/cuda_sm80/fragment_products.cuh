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

// Blocks of a multiprocessor that registers are left for: no more than its shared memory lets in.
[[nodiscard]] constexpr std::uint32_t least_blocks(std::uint32_t shape_idx) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
  constexpr std::uint32_t kSharedBytesPerSm = 100 << 10;
#else
  constexpr std::uint32_t kSharedBytesPerSm = 164 << 10;
#endif
  const FragmentShape& shape = kFragmentShapes[shape_idx];
  const std::uint32_t by_shared = kSharedBytesPerSm / (shape.shared_bytes() + 1024);
  return by_shared < shape.blocks_per_sm ? by_shared : shape.blocks_per_sm;
}

template <std::uint32_t kShapeIdx>
class FragmentLoop {
 public:
  using Tile = FragmentTile<kShapeIdx>;
  static constexpr FragmentShape kShape = Tile::kShape;

  // Copies of weights begin at once; what they are multiplied by is looked for after `wait`.
  template <class Wait, class RowOf>
  __device__ __forceinline__ static void run(const FragmentMatrices& matrices, Tile& tile, TileSpan span,
                                             std::uint8_t* shared, Wait wait, RowOf row_of) {
    constexpr std::uint32_t kAhead = kShape.stages - 1;
    const std::uint32_t warp = threadIdx.x / 32;
    const std::uint32_t first = span.begin + (kShape.shares_k() ? warp : 0);
    constexpr std::uint32_t kStep = kShape.shares_k() ? kShape.warps() : 1;
    std::uint8_t* const ring = shared + (kShape.shares_k() ? warp * kShape.stages * kShape.stage_bytes() : 0);
    const std::uint32_t ring_address = shared_address(ring);
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      if (first + i * kStep < span.end)
        tile.copy_weights(matrices.weights, ring_address + i * kShape.stage_bytes(), first + i * kStep);
    }
    wait();
    tile.find_rows(row_of);
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
        tile.copy_x(ring_address + before, k + kAhead * kStep);
        tile.copy_weights(tile.weights(), ring_address + before, k + kAhead * kStep);
      }
      end_copies();
      tile.multiply(ring + stage, ring_address + stage);
      stage = stage == kLastStage ? 0 : stage + kShape.stage_bytes();
    }
  }
};

// From the sums of a block to where the job puts them, by way of the ring, which is free: [warp][group, column][lane].
// A job's code for a product stands there a few times.
template <std::uint32_t kShapeIdx, class Job, class Place>
__device__ __forceinline__ void put_sums(const FragmentTile<kShapeIdx>& tile, const Job& job, const Place& place,
                                         std::uint8_t* shared) {
  using Tile = FragmentTile<kShapeIdx>;
  constexpr FragmentShape kShape = Tile::kShape;
  constexpr std::uint32_t kProducts = Tile::kGroups * Tile::kColumns;
  static_assert(kShape.warps() * kProducts * 512 <= kShape.rows_at());
  const std::uint32_t warp = threadIdx.x / 32;
  auto* const of_lane = reinterpret_cast<float4*>(shared) + threadIdx.x % 32;
#pragma unroll
  for (std::uint32_t i = 0; i < kProducts; ++i) {
    const float(&sums)[4] = tile.sums[i / Tile::kColumns][i % Tile::kColumns];
    of_lane[(warp * kProducts + i) * 32] = {sums[0], sums[1], sums[2], sums[3]};
  }
  if constexpr (kShape.shares_k()) {
    __syncthreads();
#pragma unroll 1
    for (std::uint32_t product = warp; product < kProducts; product += kShape.warps()) {
      const std::uint32_t group = product / Tile::kColumns;
      if (group >= place.num_groups) return;
      float sums[4] = {};
      for (std::uint32_t i = 0; i < kShape.warps(); ++i) {
        const float4 more = of_lane[(i * kProducts + product) * 32];
        sums[0] += more.x, sums[1] += more.y, sums[2] += more.z, sums[3] += more.w;
      }
      job.put(place, job.terms(place, group), group, product % Tile::kColumns, sums);
    }
  } else {
#pragma unroll 1
    for (std::uint32_t i = 0; i < Tile::kGroups; ++i) {
      const std::uint32_t group = Tile::first_group() + i;
      if (group >= place.num_groups) break;
      const auto terms = job.terms(place, group);
      const float4* const of_group = of_lane + (warp * kProducts + i * Tile::kColumns) * 32;
#pragma unroll 4
      for (std::uint32_t column = 0; column < Tile::kColumns; ++column) {
        const float4 of_tile = of_group[column * 32];
        const float sums[4] = {of_tile.x, of_tile.y, of_tile.z, of_tile.w};
        job.put(place, terms, group, Tile::first_column() + column, sums);
      }
    }
  }
}

}  // namespace nvfp4::kernels::cuda_sm80
