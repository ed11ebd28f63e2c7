// The tiles of a product, and who computes which: block b takes b, b + gridDim.x, ... Tiles of an expert lie together;
// neighbours share rows of weights.
#pragma once

#include <cstdint>

#include "kernels/cuda_sm120/fp4_call.h"
#include "kernels/cuda_sm120/fp4_shapes.h"

namespace nvfp4::kernels::cuda_sm120 {

struct Fp4Item {
  std::uint32_t expert = 0;
  std::uint32_t first_group = 0, num_groups = 0;  // of weights
  std::uint32_t first_row = 0, num_tokens = 0;    // of activations
  std::uint32_t first_chunk = 0, end_chunk = 0;   // of K
  std::uint32_t tile = 0, split = 0;
};

template <std::uint32_t kShapeIdx>
class Fp4Items {
 public:
  static constexpr Fp4Shape kShape = kFp4Shapes[kShapeIdx];

  // All threads; with offsets, once they are written.
  __device__ __forceinline__ Fp4Items(const Fp4Call& call, std::uint32_t* first_tiles)
      : call_(call), first_tiles_(first_tiles) {
    row_tiles_ = (call.row_groups + kShape.groups() - 1) / kShape.groups();
    if (call.offsets == nullptr) {
      num_token_tiles_ = tiles_of(call.num_rows);
      return;
    }
    if (threadIdx.x < 32) count_tiles();
    __syncthreads();
    num_token_tiles_ = first_tiles[call.num_experts];
  }

  [[nodiscard]] __device__ __forceinline__ std::uint32_t count() const {
    return num_token_tiles_ * row_tiles_ * call_.num_splits;
  }

  [[nodiscard]] __device__ __forceinline__ Fp4Item item(std::uint32_t idx) const {
    Fp4Item item;
    item.tile = idx / call_.num_splits;
    item.split = idx - item.tile * call_.num_splits;
    std::uint32_t first_row = 0;
    std::uint32_t num_rows = call_.num_rows;
    std::uint32_t in_expert = item.tile;
    if (call_.offsets != nullptr) {
      item.expert = expert_of(item.tile / row_tiles_);
      in_expert -= first_tiles_[item.expert] * row_tiles_;
      first_row = static_cast<std::uint32_t>(call_.offsets[item.expert]);
      num_rows = static_cast<std::uint32_t>(call_.offsets[item.expert + 1]) - first_row;
    }
    const std::uint32_t token_tiles = tiles_of(num_rows);
    const std::uint32_t row_tile = in_expert / token_tiles;
    const std::uint32_t first_token = (in_expert - row_tile * token_tiles) * kShape.tokens();
    item.first_group = row_tile * kShape.groups();
    item.num_groups = min(call_.row_groups - item.first_group, kShape.groups());
    item.first_row = first_row + first_token;
    item.num_tokens = min(num_rows - first_token, kShape.tokens());
    const std::uint32_t num_chunks = (call_.k_tiles + kChunkTiles - 1) / kChunkTiles;
    item.first_chunk = item.split * call_.chunks_per_split;
    item.end_chunk = call_.num_splits == 1 ? num_chunks : min(num_chunks, item.first_chunk + call_.chunks_per_split);
    return item;
  }

 private:
  [[nodiscard]] __device__ __forceinline__ static std::uint32_t tiles_of(std::uint32_t num_rows) {
    return (num_rows + kShape.tokens() - 1) / kShape.tokens();
  }

  // One warp: each lane some neighbouring experts.
  __device__ __forceinline__ void count_tiles() {
    const std::uint32_t lane = threadIdx.x;
    const std::uint32_t of_lane = (call_.num_experts + 31) / 32;
    const std::uint32_t begin = min(lane * of_lane, call_.num_experts);
    const std::uint32_t end = min(begin + of_lane, call_.num_experts);
    std::uint32_t sum = 0;
    for (std::uint32_t e = begin; e < end; ++e) sum += tiles_of_expert(e);
    std::uint32_t before = sum;  // and this lane's
#pragma unroll
    for (std::uint32_t step = 1; step < 32; step *= 2) {
      const std::uint32_t other = __shfl_up_sync(0xFFFFFFFFU, before, step);
      if (lane >= step) before += other;
    }
    if (lane == 31) first_tiles_[call_.num_experts] = before;
    before -= sum;
    for (std::uint32_t e = begin; e < end; ++e) {
      first_tiles_[e] = before;
      before += tiles_of_expert(e);
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t tiles_of_expert(std::uint32_t expert) const {
    return tiles_of(static_cast<std::uint32_t>(call_.offsets[expert + 1] - call_.offsets[expert]));
  }

  // The last expert whose first tile is not behind this one.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t expert_of(std::uint32_t token_tile) const {
    std::uint32_t low = 0;
    std::uint32_t high = call_.num_experts;
    while (high - low > 1) {
      const std::uint32_t middle = (low + high) / 2;
      if (first_tiles_[middle] <= token_tile) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }

  const Fp4Call& call_;
  std::uint32_t* first_tiles_;  // [E + 1] of tokens, in shared memory
  std::uint32_t row_tiles_ = 0;
  std::uint32_t num_token_tiles_ = 0;
};

// The chunks of a block's tiles, one after the other.
template <std::uint32_t kShapeIdx>
struct Fp4Cursor {
  const Fp4Items<kShapeIdx>& items;
  std::uint32_t idx;
  Fp4Item item;
  std::uint32_t chunk = 0;

  __device__ __forceinline__ explicit Fp4Cursor(const Fp4Items<kShapeIdx>& all) : items(all), idx(blockIdx.x) {
    if (exists()) begin();
  }
  [[nodiscard]] __device__ __forceinline__ bool exists() const { return idx < items.count(); }
  [[nodiscard]] __device__ __forceinline__ bool is_first_chunk() const { return chunk == item.first_chunk; }
  __device__ __forceinline__ void advance() {
    if (++chunk < item.end_chunk) return;
    idx += gridDim.x;
    if (exists()) begin();
  }

 private:
  __device__ __forceinline__ void begin() {
    item = items.item(idx);
    chunk = item.first_chunk;
  }
};

// The places of a ring of stages that a block's chunks take in turn.
template <std::uint32_t kStages>
struct Fp4Ring {
  std::uint32_t stage = 0;
  std::uint32_t parity = 0;

  __device__ __forceinline__ void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1U;
  }
};

}  // namespace nvfp4::kernels::cuda_sm120
