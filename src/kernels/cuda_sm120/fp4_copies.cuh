// The warp that copies: chunks of weights and activations into the stages, by the copy engine.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_sm120/fp4_items.cuh"
#include "layouts/block_scaled_16x64.h"

namespace nvfp4::kernels::cuda_sm120 {

template <std::uint32_t kShapeIdx>
class Fp4Copies {
 public:
  static constexpr Fp4Shape kShape = kFp4Shapes[kShapeIdx];
  using Items = Fp4Items<kShapeIdx>;
  using Cursor = Fp4Cursor<kShapeIdx>;

  // full and empty: barriers of the stages.
  __device__ __forceinline__ Fp4Copies(const Fp4Call& call, const Items& items, std::uint32_t stages,
                                       std::uint32_t full, std::uint32_t empty)
      : call_(call), items_(items), stages_(stages), full_(full), empty_(empty) {}

  // Weights come before what earlier kernels write, unless those say which.
  __device__ __forceinline__ void run() {
    Cursor cursor(items_);
    Fp4Ring<kShape.stages> ring;
    std::uint32_t num_early = 0;
    if (call_.offsets == nullptr) {
      Cursor early(items_);
      for (; num_early < kShape.stages && early.exists(); ++num_early, early.advance()) {
        announce(num_early, early);
        copy_weights(num_early, early);
      }
      wait_for_earlier_kernels();
    }
    for (std::uint32_t i = 0; cursor.exists(); ++i, cursor.advance(), ring.advance()) {
      if (cursor.is_first_chunk()) find_rows(cursor.item);
      if (i >= num_early) {
        wait_barrier(empty_ + 8 * ring.stage, ring.parity ^ 1U);
        announce(ring.stage, cursor);
        copy_weights(ring.stage, cursor);
      }
      copy_tokens(ring.stage, cursor);
    }
  }

 private:
  static constexpr std::uint32_t kLaneRows = (kShape.tokens() + 31) / 32;

  [[nodiscard]] __device__ __forceinline__ std::uint32_t group_bytes(const Cursor& cursor) const {
    const std::uint32_t num_tiles = min(call_.k_tiles - cursor.chunk * kChunkTiles, kChunkTiles);
    return num_tiles * static_cast<std::uint32_t>(BlockScaled16x64::kBytes);
  }
  __device__ __forceinline__ void announce(std::uint32_t stage, const Cursor& cursor) const {
    if (threadIdx.x % 32 == 0) {
      arrive_expecting(full_ + 8 * stage,
                       cursor.item.num_groups * group_bytes(cursor) + cursor.item.num_tokens * kRowBytes);
    }
    __syncwarp();
  }
  // A lane for each row group.
  __device__ __forceinline__ void copy_weights(std::uint32_t stage, const Cursor& cursor) const {
    const std::uint32_t lane = threadIdx.x % 32;
    if (lane >= cursor.item.num_groups) return;
    const std::size_t group = std::size_t{cursor.item.expert} * call_.row_groups + cursor.item.first_group + lane;
    const std::size_t tile = group * call_.k_tiles + cursor.chunk * kChunkTiles;
    copy_bulk(stages_ + stage * kShape.stage_bytes() + lane * kGroupBytes,
              call_.weights + tile * BlockScaled16x64::kBytes, group_bytes(cursor), full_ + 8 * stage);
  }

  // Rows that are copied one by one.
  __device__ __forceinline__ void find_rows(const Fp4Item& item) {
    if (call_.pair_of_row == nullptr) return;
#pragma unroll
    for (std::uint32_t i = 0; i < kLaneRows; ++i) {
      const std::uint32_t row = item.first_row + min(i * 32 + threadIdx.x % 32, item.num_tokens - 1);
      rows_[i] = static_cast<std::uint32_t>(call_.pair_of_row[row]) / call_.top_k;
    }
  }
  __device__ __forceinline__ void copy_tokens(std::uint32_t stage, const Cursor& cursor) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t to = stages_ + stage * kShape.stage_bytes() + kShape.groups() * kGroupBytes;
    const std::uint8_t* const chunk = call_.codes + cursor.chunk * call_.code_rows * kRowBytes;
    if (call_.pair_of_row == nullptr) {
      if (lane != 31) return;  // the others have weights to copy
      copy_bulk(to, chunk + std::size_t{cursor.item.first_row} * kRowBytes, cursor.item.num_tokens * kRowBytes,
                full_ + 8 * stage);
      return;
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kLaneRows; ++i) {
      const std::uint32_t token = i * 32 + lane;
      if (token >= cursor.item.num_tokens) break;
      copy_bulk(to + token * kRowBytes, chunk + std::size_t{rows_[i]} * kRowBytes, kRowBytes, full_ + 8 * stage);
    }
  }

  const Fp4Call& call_;
  const Items& items_;
  std::uint32_t stages_, full_, empty_;
  std::uint32_t rows_[kLaneRows] = {};
};

}  // namespace nvfp4::kernels::cuda_sm120
