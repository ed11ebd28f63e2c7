// The kernel around a tile: consumer warps multiply and hand their sums to an epilogue, the first warpgroup copies.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_shared/ptx/grids.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_sm90/wgmma_copies.cuh"
#include "kernels/cuda_sm90/wgmma_multiply.cuh"
#include "kernels/cuda_sm90/wgmma_output.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Blocks of 8 tokens whose work in an epilogue may overlap.
inline constexpr std::uint32_t kBlocksAtOnce = 4;

__device__ __forceinline__ std::uint32_t pack_bf16(float2 pair) {
  const __nv_bfloat162 rounded = __floats2bfloat162_rn(pair.x, pair.y);
  return *reinterpret_cast<const std::uint32_t*>(&rounded);
}

// The sums of all blocks of a cluster, added in their order, to the warps whose share they are: each block keeps
// its part of the warps. The ring serves as memory: a block of a cluster has one tile. True for those warps.
template <std::uint32_t kKind, std::uint32_t kSums>
__device__ __forceinline__ bool add_splits(std::uint32_t num_splits, float (&sums)[kSums], std::uint32_t memory) {
  static_assert(WgmmaShape<kKind>::kConsumerWarps * kSums * 128 <= WgmmaShape<kKind>::kSharedBytes);
  const std::uint32_t warp = of_warp((threadIdx.x - kCopyThreads) / 32);
  const std::uint32_t own = memory + warp * kSums * 128 + threadIdx.x % 32 * 4;
  sync_warps(5, WgmmaShape<kKind>::kConsumerWarps * 32);  // the ring is not read any more
#pragma unroll
  for (std::uint32_t i = 0; i < kSums; ++i) store_float(own + i * 128, sums[i]);
  arrive_at_cluster_barrier();
  wait_for_cluster_barrier();
  const bool mine = warp * num_splits / WgmmaShape<kKind>::kConsumerWarps == blockIdx.x % num_splits;
  if (mine) {
#pragma unroll
    for (std::uint32_t i = 0; i < kSums; ++i) sums[i] = 0;
    for (std::uint32_t part = 0; part < num_splits; ++part) {
      const std::uint32_t theirs = address_in_block(own, part);
#pragma unroll
      for (std::uint32_t i = 0; i < kSums; ++i) sums[i] += load_float_of_cluster(theirs + i * 128);
    }
  }
  arrive_at_cluster_barrier();
  wait_for_cluster_barrier();
  return mine;
}

// The same where blocks are not of a cluster: sums go through memory, and the warp that comes last, as a counter says,
// has the total. True for that one.
template <std::uint32_t kKind, std::uint32_t kSums>
__device__ __forceinline__ bool add_splits_in_memory(const WgmmaProblem& problem, float (&sums)[kSums]) {
  const std::uint32_t num_splits = problem.num_splits;
  const std::uint32_t warp = of_warp((threadIdx.x - kCopyThreads) / 32);
  const std::uint32_t unit = blockIdx.x / num_splits * WgmmaShape<kKind>::kConsumerWarps + warp;
  constexpr std::uint32_t kPartWords = WgmmaShape<kKind>::kMaxColumns / 2 / 4 * 32;  // of four numbers each
  float4* const parts = problem.parts + std::size_t{unit} * num_splits * kPartWords + threadIdx.x % 32;
  float4* const own = parts + blockIdx.x % num_splits * kPartWords;
#pragma unroll
  for (std::uint32_t i = 0; i < kSums; i += 4) {
    __stcg(own + i / 4 * 32, make_float4(sums[i], sums[i + 1], sums[i + 2], sums[i + 3]));
  }
  __syncwarp();
  std::uint32_t before = 0;
  if (threadIdx.x % 32 == 0) before = count_arrival(problem.arrivals + unit);
  if (of_warp(before) + 1 != num_splits) return false;
  if (threadIdx.x % 32 == 0) problem.arrivals[unit] = 0;
  __syncwarp();
#pragma unroll
  for (std::uint32_t i = 0; i < kSums; ++i) sums[i] = 0;
#pragma unroll 2
  for (std::uint32_t part = 0; part < num_splits; ++part) {
#pragma unroll
    for (std::uint32_t i = 0; i < kSums; i += 4) {
      const float4 four = __ldcg(parts + part * kPartWords + i / 4 * 32);
      sums[i] += four.x, sums[i + 1] += four.y, sums[i + 2] += four.z, sums[i + 3] += four.w;
    }
  }
  return true;
}

// Of an epilogue that needs no shared memory.
struct NothingShared {};

// What a consumer warp needs for a tile.
template <class Epilogue, std::uint32_t kKind>
struct TileWork {
  const WgmmaProblem& problem;
  const Epilogue& epilogue;
  typename Epilogue::Shared& shared;
  const WgmmaTile& tile;
  RingCursor<kKind>& ring;
  std::uint32_t k_tiles;
  std::uint32_t num_columns;
  bool has_rows;  // of this warpgroup
};

// A tile of more than kLow and at most kHigh columns.
template <bool kSplit, std::uint32_t kLow, std::uint32_t kHigh, class Epilogue, std::uint32_t kKind>
__device__ __forceinline__ void consume_tile(const TileWork<Epilogue, kKind>& work) {
  using Shape = WgmmaShape<kKind>;
  if constexpr (kHigh - kLow > Shape::kBucket) {
    constexpr std::uint32_t kMiddle = (kLow + kHigh) / (2 * Shape::kBucket) * Shape::kBucket;
    if (work.num_columns > kMiddle) {
      consume_tile<kSplit, kMiddle, kHigh>(work);
    } else {
      consume_tile<kSplit, kLow, kMiddle>(work);
    }
  } else {
    const auto scales = work.epilogue.scales(work.tile);  // loaded before they are needed
    float sums[kHigh / 2] = {};
    if (work.has_rows) {
      multiply_tile<Epilogue::kRowSource, kLow, kHigh>(sums, work.ring, work.k_tiles, work.num_columns,
                                                       work.problem.sixteen);
    } else {
      skip_tile(work.ring, work.k_tiles);
    }
    if constexpr (kSplit && Shape::kSplitsInMemory) {
      if (!add_splits_in_memory<kKind>(work.problem, sums)) return;
    } else if constexpr (kSplit) {
      if (!add_splits<kKind>(work.problem.num_splits, sums, work.ring.base)) return;
    }
    if constexpr (!Shape::kByLines) {
      work.epilogue.template store<kHigh>(work.tile, scales, work.shared, sums);
    } else {
      static_assert(!kSplit);  // warps of a warpgroup may then store apart
      const std::uint32_t warpgroup = of_warp((threadIdx.x - kCopyThreads) / 128);
      const std::uint32_t buffers = work.ring.base + Shape::kOutputOffset + warpgroup * 2 * kOutputBufferBytes;
      work.epilogue.template store_lines<kHigh>(work.tile, scales, work.shared, buffers, sums);
    }
  }
}

template <bool kSplit, class Epilogue, std::uint32_t kKind>
__device__ __forceinline__ void consume_tiles(const WgmmaProblem& problem, const TileMap& map, const Epilogue& epilogue,
                                              typename Epilogue::Shared& shared, RingCursor<kKind> ring) {
  const std::uint32_t first_of_warpgroup = of_warp((threadIdx.x - kCopyThreads) / 128 * 4);
  std::uint32_t slot = 0;
  for (TileRange range(problem, map, WgmmaShape<kKind>::kStageTiles); !range.done(); range.advance()) {
    ring.wait_full();
    const WgmmaTile& tile = map.tiles[slot++ % kTileSlots];
    consume_tile<kSplit, 0, WgmmaShape<kKind>::kMaxColumns>(
        TileWork<Epilogue, kKind>{problem, epilogue, shared, tile, ring, kSplit ? range.k.size() : problem.k_tiles,
                                  of_warp(tile.num_columns), first_of_warpgroup < of_warp(tile.num_groups)});
  }
}

// Shared memory: WgmmaShape::kSharedBytes; blocks: as many as there are multiprocessors, or fewer. kSplit: num_splits
// blocks for each tile, in clusters but for kSplitsInMemory.
template <class Epilogue, std::uint32_t kKind, bool kSplit>
__global__ void __launch_bounds__(WgmmaShape<kKind>::kThreads, WgmmaShape<kKind>::kBlocksPerSm)
    wgmma_kernel(const __grid_constant__ WgmmaProblem problem, const __grid_constant__ Epilogue epilogue) {
  using Shape = WgmmaShape<kKind>;
  __shared__ TileMap map;
  __shared__ typename Epilogue::Shared shared;
  RingCursor<kKind> ring;
  ring.base = shared_address(dynamic_shared());
  pin(ring.base);  // kept in a register
  if (threadIdx.x == 0) init_ring<kKind>(ring.base, Epilogue::kRowSource ? 1 + kCopyThreads : 1);
  // An image's kernel comes after the one that made the offsets, and that one let it start: they are there.
  if constexpr (Epilogue::kRowSource) wait_for_earlier_kernels();
  map.build(problem);
  let_next_kernel_start();

  if (threadIdx.x >= kCopyThreads) {
    take_registers<Shape::kConsumerRegisters>();
    if constexpr (!Epilogue::kRowSource) wait_for_earlier_kernels();
    consume_tiles<kSplit>(problem, map, epilogue, shared, ring);
  } else {
    give_registers<Shape::kCopyRegisters>();
    if constexpr (Epilogue::kRowSource) {
      produce_rows<kKind>(problem, map, epilogue.source, ring);
    } else if (threadIdx.x == 0) {
      produce_columns<kKind>(problem, map, epilogue.source, ring);
    }
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
