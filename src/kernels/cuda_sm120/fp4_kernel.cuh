// Products of FP4 numbers, tile by tile: a warp copies chunks of K into a ring of stages, the others multiply them
// (fp4_shapes.h), and a sink gets the sums. Sums run over K in ascending order, tiles of 64 columns of each warp first
// where warps share them; then over these warps, then over the parts of K, both in ascending order: no atomics but for
// counting. Bound: memory for few tokens, the tensor cores for many.
//
// A sink has
//   Terms terms(item, first_group, lane)  what a lane needs for its rows of two row groups
//   put(item, terms, first_group, num_groups, first_token, lane, sums of the first group, of the second)
//                                         for 8 tokens; num_groups: that exist, at most 2; sums may be changed
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm120/fp4_copies.cuh"
#include "kernels/cuda_sm120/fp4_multiply.cuh"

namespace nvfp4::kernels::cuda_sm120 {

// Of a warp that has read a stage. Where FP4 products are emulated all lanes arrive: racecheck, which runs there, takes
// an arrival for the arriving lane's alone.
#if defined(NVFP4_EMULATE_FP4_MMA)
inline constexpr std::uint32_t kArrivingLanes = 32;
#else
inline constexpr std::uint32_t kArrivingLanes = 1;
#endif

template <std::uint32_t kShapeIdx>
class Fp4Block {
 public:
  static constexpr Fp4Shape kShape = kFp4Shapes[kShapeIdx];
  using Multiply = Fp4Multiply<kShapeIdx>;
  using Sums = typename Multiply::Sums;
  static constexpr std::uint32_t kSumThreads = 32 * kShape.warps();
  static constexpr std::uint32_t kPartFloats = kShape.rows() * kShape.tokens();

  __device__ __forceinline__ Fp4Block(const Fp4Call& call, std::uint8_t* shared)
      : call_(call), shared_(shared), warp_(threadIdx.x / 32 - 1), multiply_(warp_) {}

  template <class Sink>
  __device__ __forceinline__ void run(const Fp4Items<kShapeIdx>& items, std::uint32_t stages, std::uint32_t full,
                                      std::uint32_t empty, const Sink& sink) {
    Fp4Ring<kShape.stages> ring;
    for (std::uint32_t idx = blockIdx.x; idx < items.count(); idx += gridDim.x) {
      const Fp4Item item = items.item(idx);
      multiply_.begin(item);
      Sums sums;
      sums.clear();
      for (std::uint32_t chunk = item.first_chunk; chunk < item.end_chunk; ++chunk, ring.advance()) {
        wait_barrier(full + 8 * ring.stage, ring.parity);
        multiply_.add_chunk(stages + ring.stage * kShape.stage_bytes(),
                            min(call_.k_tiles - chunk * kChunkTiles, kChunkTiles), sums);
        __syncwarp();
        if (threadIdx.x % 32 < kArrivingLanes) arrive(empty + 8 * ring.stage);
      }
      if constexpr (kShape.depth_warps > 1) add_warps(sums);
      if (call_.num_splits > 1 && !add_splits(item, sums)) continue;
      put(item, sink, sums);
    }
  }

 private:
  // Warps that share rows and tokens share their columns, too: each puts every depth_warps-th.
  static constexpr std::uint32_t kColumns = kShape.columns;
  static constexpr std::uint32_t kMine = (kColumns + kShape.depth_warps - 1) / kShape.depth_warps;
  [[nodiscard]] __device__ __forceinline__ std::uint32_t column(std::uint32_t i) const {
    return kShape.depth_warps == 1 ? i : i * kShape.depth_warps + multiply_.depth_warp;
  }
  static constexpr std::uint32_t kPlaces = kShape.row_warps * kShape.token_warps;  // of warps with other columns
  static_assert(kColumns % kShape.depth_warps == 0 || kMine == 1);
  [[nodiscard]] __device__ __forceinline__ bool has_columns() const {
    return kColumns % kShape.depth_warps == 0 || multiply_.depth_warp < kColumns;
  }
  // The total of column(i) becomes that of column i.
  __device__ __forceinline__ void add_warps(Sums& sums) const {
    auto* const all = reinterpret_cast<float4*>(shared_ + kShape.sums_at()) + threadIdx.x % 32;
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kColumns; ++i) {
      const float(&from)[4] = sums.of[i / kColumns][i % kColumns];
      all[(warp_ * 2 * kColumns + i) * 32] = {from[0], from[1], from[2], from[3]};
    }
    sync_warps(1, kSumThreads);
    if (has_columns()) add_up(all, sums);
    sync_warps(1, kSumThreads);  // before the sums of the next tile
  }
  __device__ __forceinline__ void add_up(const float4* all, Sums& sums) const {
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kMine; ++i) {
      const float4* const from = all + (warp_ % kPlaces * 2 * kColumns + i / kMine * kColumns + column(i % kMine)) * 32;
      float4 total = from[0];
#pragma unroll
      for (std::uint32_t depth = 1; depth < kShape.depth_warps; ++depth) {
        const float4 part = from[depth * kPlaces * 2 * kColumns * 32];
        total.x += part.x, total.y += part.y, total.z += part.z, total.w += part.w;
      }
      float(&to)[4] = sums.of[i / kMine][i % kMine];
      to[0] = total.x, to[1] = total.y, to[2] = total.z, to[3] = total.w;
    }
  }

  // The last block of a tile to come here, as an integer counts, adds up the parts of all: true for it.
  __device__ __forceinline__ bool add_splits(const Fp4Item& item, Sums& sums) const {
    const std::uint32_t place = warp_ % kPlaces * 2 * kColumns;
    auto* const parts = reinterpret_cast<float4*>(call_.parts) +
                        std::size_t{item.tile} * call_.num_splits * (kPartFloats / 4) + place * 32 + threadIdx.x % 32;
    const auto place_of = [&](std::uint32_t i) { return (i / kMine * kColumns + column(i % kMine)) * 32; };
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kMine; ++i) {
      const float(&from)[4] = sums.of[i / kMine][i % kMine];
      if (!has_columns()) continue;
      parts[item.split * (kPartFloats / 4) + place_of(i)] = {from[0], from[1], from[2], from[3]};
    }
    sync_warps(1, kSumThreads);
    auto* const word = reinterpret_cast<volatile std::uint32_t*>(shared_ + kShape.word_at());
    if (threadIdx.x == 32) {
      const std::uint32_t before = count_arrival(call_.arrivals + item.tile);
      if (before + 1 == call_.num_splits) call_.arrivals[item.tile] = 0;
      *word = before + 1;
    }
    sync_warps(1, kSumThreads);
    const bool is_last = *word == call_.num_splits;
    sync_warps(1, kSumThreads);  // before the word of the next tile
    if (!is_last || !has_columns()) return false;
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kMine; ++i) {
      float(&to)[4] = sums.of[i / kMine][i % kMine];
      to[0] = to[1] = to[2] = to[3] = 0.0F;
      for (std::uint32_t split = 0; split < call_.num_splits; ++split) {
        const float4 part = __ldcg(parts + split * (kPartFloats / 4) + place_of(i));
        to[0] += part.x, to[1] += part.y, to[2] += part.z, to[3] += part.w;
      }
    }
    return true;
  }

  template <class Sink>
  __device__ __forceinline__ void put(const Fp4Item& item, const Sink& sink, Sums& sums) const {
    const std::uint32_t in_tile = 2 * multiply_.row_warp;
    if (in_tile >= item.num_groups || !has_columns()) return;
    const std::uint32_t first_group = item.first_group + in_tile;
    const std::uint32_t lane = lane_from_here_on();
    const auto terms = sink.terms(item, first_group, lane);
#pragma unroll
    for (std::uint32_t i = 0; i < kMine; ++i) {
      const std::uint32_t first_token = (multiply_.token_warp * kColumns + column(i)) * 8;
      if (first_token >= item.num_tokens) break;
      sink.put(item, terms, first_group, min(item.num_groups - in_tile, 2U), first_token, lane, sums.of[0][i],
               sums.of[1][i]);
    }
  }

  const Fp4Call& call_;
  std::uint8_t* const shared_;
  const std::uint32_t warp_;
  Multiply multiply_;
};

template <std::uint32_t kShapeIdx, class Sink>
__global__ void __launch_bounds__(kFp4Shapes[kShapeIdx].threads(), kFp4Shapes[kShapeIdx].blocks_per_sm)
    fp4_kernel(const __grid_constant__ Fp4Call call, const __grid_constant__ Sink sink) {
  constexpr Fp4Shape kShape = kFp4Shapes[kShapeIdx];
  std::uint8_t* const shared = dynamic_shared();
  const std::uint32_t stages = shared_address(shared);
  const std::uint32_t full = stages + kShape.barriers_at();
  const std::uint32_t empty = full + 8 * kShape.stages;
  if (threadIdx.x == 0) {
    for (std::uint32_t i = 0; i < kShape.stages; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, kShape.warps() * kArrivingLanes);
    }
    publish_barriers();
  }
  let_next_kernel_start();
  if (call.offsets != nullptr) wait_for_earlier_kernels();
  __syncthreads();
  const Fp4Items<kShapeIdx> items(call, reinterpret_cast<std::uint32_t*>(shared + kShape.experts_at()));
  if (threadIdx.x < 32) {
    Fp4Copies<kShapeIdx>(call, items, stages, full, empty).run();
    return;
  }
  if (call.offsets == nullptr) wait_for_earlier_kernels();
  Fp4Block<kShapeIdx>(call, shared).run(items, stages, full, empty, sink);
}

}  // namespace nvfp4::kernels::cuda_sm120
