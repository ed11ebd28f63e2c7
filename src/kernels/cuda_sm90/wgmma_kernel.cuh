// The kernel around a tile: consumer warps multiply and hand their sums to an epilogue, the first warpgroup copies.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda_sm90/wgmma_copies.cuh"
#include "kernels/cuda_sm90/wgmma_multiply.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Blocks of 8 tokens whose work in an epilogue may overlap.
inline constexpr std::uint32_t kBlocksAtOnce = 4;

__device__ __forceinline__ std::uint32_t pack_bf16(float2 pair) {
  const __nv_bfloat162 rounded = __floats2bfloat162_rn(pair.x, pair.y);
  return *reinterpret_cast<const std::uint32_t*>(&rounded);
}

// Transposes an 8x8 matrix of 16-bit numbers: lane 4 g + t holds row g, columns 2t and 2t + 1, before and after.
__device__ __forceinline__ std::uint32_t transpose_8x8(std::uint32_t pair) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(pair));
  return transposed;
}

// Shared memory of this block, and of others of its cluster.
__device__ __forceinline__ void store_shared(std::uint32_t address, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}
__device__ __forceinline__ std::uint32_t address_in_cluster(std::uint32_t address, std::uint32_t block) {
  std::uint32_t remote;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(block));
  return remote;
}
__device__ __forceinline__ float load_cluster(std::uint32_t address) {
  float value;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}

// The sums of all blocks of a cluster, added in their order, to the warps whose share they are: each block keeps
// its part of the warps. The ring serves as memory: a block of a cluster has one tile. True for those warps.
template <std::uint32_t kMaxColumns, std::uint32_t kSums>
__device__ __forceinline__ bool add_splits(std::uint32_t num_splits, float (&sums)[kSums], std::uint32_t memory) {
  static_assert(1024 + WgmmaShape<kMaxColumns>::kConsumerWarps * kSums * 128 <= WgmmaShape<kMaxColumns>::kSharedBytes);
  const std::uint32_t warp = of_warp((threadIdx.x - kCopyThreads) / 32);
  const std::uint32_t own = memory + warp * kSums * 128 + threadIdx.x % 32 * 4;
  asm volatile("bar.sync 5, %0;" ::"n"(WgmmaShape<kMaxColumns>::kConsumerWarps * 32)
               : "memory");  // the ring is not read any more
#pragma unroll
  for (std::uint32_t i = 0; i < kSums; ++i) store_shared(own + i * 128, sums[i]);
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  const bool mine = warp * num_splits / WgmmaShape<kMaxColumns>::kConsumerWarps == blockIdx.x % num_splits;
  if (mine) {
#pragma unroll
    for (std::uint32_t i = 0; i < kSums; ++i) sums[i] = 0;
    for (std::uint32_t part = 0; part < num_splits; ++part) {
      const std::uint32_t theirs = address_in_cluster(own, part);
#pragma unroll
      for (std::uint32_t i = 0; i < kSums; ++i) sums[i] += load_cluster(theirs + i * 128);
    }
  }
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  return mine;
}

// Of an epilogue that needs no shared memory.
struct NothingShared {};

// What a consumer warp needs for a tile.
template <class Epilogue, std::uint32_t kMaxColumns>
struct TileWork {
  const WgmmaProblem& problem;
  const Epilogue& epilogue;
  typename Epilogue::Shared& shared;
  const WgmmaTile& tile;
  RingCursor<kMaxColumns>& ring;
  std::uint32_t k_tiles;
  std::uint32_t num_columns;
  bool has_rows;  // of this warpgroup
};

// A tile of more than kLow and at most kHigh columns.
template <bool kSplit, std::uint32_t kLow, std::uint32_t kHigh, class Epilogue, std::uint32_t kMaxColumns>
__device__ __forceinline__ void consume_tile(const TileWork<Epilogue, kMaxColumns>& work) {
  using Shape = WgmmaShape<kMaxColumns>;
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
    if constexpr (kSplit) {
      if (!add_splits<kMaxColumns>(work.problem.num_splits, sums, work.ring.base)) return;
    }
    work.epilogue.template store<kHigh>(work.tile, scales, work.shared, sums);
  }
}

template <bool kSplit, class Epilogue, std::uint32_t kMaxColumns>
__device__ __forceinline__ void consume_tiles(const WgmmaProblem& problem, const TileMap& map, const Epilogue& epilogue,
                                              typename Epilogue::Shared& shared, RingCursor<kMaxColumns> ring) {
  const std::uint32_t first_of_warpgroup = of_warp((threadIdx.x - kCopyThreads) / 128 * 4);
  std::uint32_t slot = 0;
  for (TileRange range(problem, map, WgmmaShape<kMaxColumns>::kStageTiles); !range.done(); range.advance()) {
    ring.wait_full();
    const WgmmaTile& tile = map.tiles[slot++ % kTileSlots];
    consume_tile<kSplit, 0, kMaxColumns>(
        TileWork<Epilogue, kMaxColumns>{problem, epilogue, shared, tile, ring, range.k.size(),
                                        of_warp(tile.num_columns), first_of_warpgroup < of_warp(tile.num_groups)});
  }
}

// Shared memory: WgmmaShape::kSharedBytes; blocks: as many as there are multiprocessors, or fewer. kSplit: num_splits
// blocks for each tile, in clusters.
template <class Epilogue, std::uint32_t kMaxColumns, bool kSplit>
__global__ void __launch_bounds__(WgmmaShape<kMaxColumns>::kThreads, WgmmaShape<kMaxColumns>::kBlocksPerSm)
    wgmma_kernel(const __grid_constant__ WgmmaProblem problem, const __grid_constant__ Epilogue epilogue) {
  using Shape = WgmmaShape<kMaxColumns>;
  extern __shared__ std::uint8_t dynamic[];
  __shared__ TileMap map;
  __shared__ typename Epilogue::Shared shared;
  RingCursor<kMaxColumns> ring;
  ring.base = (shared_address(dynamic) + 1023) / 1024 * 1024;
  asm volatile("" : "+r"(ring.base));  // kept in a register
  if (threadIdx.x == 0) init_ring<kMaxColumns>(ring.base, Epilogue::kRowSource ? 1 + kCopyThreads : 1);
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
      produce_rows<kMaxColumns>(problem, map, epilogue.source, ring);
    } else if (threadIdx.x == 0) {
      produce_columns<kMaxColumns>(problem, map, epilogue.source, ring);
    }
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
