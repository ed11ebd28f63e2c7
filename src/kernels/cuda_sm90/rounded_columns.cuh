// Sums of a warpgroup rounded to NVFP4 where they are, 16 rows of a column to a block, as quantize_activations_block.h
// says: bit for bit what a quantiser makes of them.
#pragma once

#include <cstdint>

#include "formats/float_bits.h"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_sm90/wgmma_multiply.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Of kBlocks times 8 columns, the largest magnitudes of a warp's 8 rows, for the warp that has the block's other 8. Two
// sets take turns.
struct SharedMagnitudes {
  static constexpr std::uint32_t kColumns = 32;
  std::uint32_t bits[2][16][kColumns];
};

__device__ __forceinline__ std::uint32_t magnitude_bits(float value) {
  return __float_as_uint(value) & kFloatMagnitudeMask;
}
// Over the 8 lanes that have the same columns.
__device__ __forceinline__ std::uint32_t largest_of_rows(std::uint32_t bits) {
#pragma unroll
  for (std::uint32_t step = 4; step < 32; step *= 2) bits = max(bits, __shfl_xor_sync(0xFFFFFFFFU, bits, step));
  return bits;
}
// Of the two warps that share blocks.
__device__ __forceinline__ void sync_pair(std::uint32_t warp) { sync_warps(8 + warp / 2, 64); }

// h[4 b], h[4 b + 1]: a lane's columns 2t and 2t + 1 of the b-th 8, in row g of the warp; h[4 b + 2], h[4 b + 3]: in
// row g + 8, which kWholeBlocks means to exist. Else the warp beside has the other 8 rows, and calls this, too.
template <bool kWholeBlocks, std::uint32_t kBlocks>
__device__ __forceinline__ void round_columns(float* h, const RowScale& row, SharedMagnitudes& shared,
                                              std::uint32_t turn) {
  static_assert(kBlocks <= 4);
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warp = of_warp((threadIdx.x - kCopyThreads) / 32);
  std::uint32_t largest[2 * kBlocks];
#pragma unroll
  for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) {
    const float* const value = h + i / 2 * 4 + i % 2;
    largest[i] = magnitude_bits(value[0]);
    if constexpr (kWholeBlocks) largest[i] = max(largest[i], magnitude_bits(value[2]));
    largest[i] = largest_of_rows(largest[i]);
  }
  if constexpr (!kWholeBlocks) {
    auto& bits = shared.bits[turn % 2];
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) {
      if (lane < 4) bits[warp][i / 2 * 8 + 2 * lane + i % 2] = largest[i];
    }
    sync_pair(warp);
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) {
      largest[i] = max(largest[i], bits[warp ^ 1][i / 2 * 8 + lane % 4 * 2 + i % 2]);
    }
  }
  // Lane 4 i + t finds the scale of the i-th column of all lanes t.
  std::uint32_t own = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) own = lane / 4 == i ? largest[i] : own;
  const BlockScale mine = BlockScale::from_largest(row, __uint_as_float(own));
#pragma unroll
  for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) {
    const std::uint32_t from = 4 * i + lane % 4;
    BlockScale scale;
    scale.scale = __shfl_sync(0xFFFFFFFFU, mine.scale, from);
    scale.multiplier = __shfl_sync(0xFFFFFFFFU, mine.multiplier, from);
    scale.high = __shfl_sync(0xFFFFFFFFU, mine.high, from);
    scale.low = __shfl_sync(0xFFFFFFFFU, mine.low, from);
    scale.is_exact = __shfl_sync(0xFFFFFFFFU, mine.is_exact ? 1 : 0, from) != 0;
    const bool is_finite = largest[i] < kFloatInfinityBits;
    float* const value = h + i / 2 * 4 + i % 2;
    const float nan = __uint_as_float(0x7FC00000U);
    value[0] = is_finite ? scale.round(value[0]) : nan;
    if constexpr (kWholeBlocks) value[2] = is_finite ? scale.round(value[2]) : nan;
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
