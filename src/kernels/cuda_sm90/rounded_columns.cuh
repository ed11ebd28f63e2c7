// Sums of a warpgroup rounded to NVFP4 where they are, 16 rows of a column to a block, as quantize_activations_block.h
// says: bit for bit what a quantiser makes of them.
#pragma once

#include <cstdint>

#include "formats/float_bits.h"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_sm90/wgmma_multiply.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Of 16 columns, the largest magnitudes of a warp's 8 rows, for the warp that has the block's other 8. Two sets take
// turns.
struct SharedMagnitudes {
  std::uint32_t bits[2][16][16];
};

__device__ __forceinline__ std::uint32_t magnitude_bits(float value) {
  return __float_as_uint(value) & kFloatMagnitudeMask;
}
// Of the two warps that share blocks.
__device__ __forceinline__ void sync_pair(std::uint32_t warp) { sync_warps(8 + warp / 2, 64); }

// The larger of two lanes' numbers: a lane with the bit keeps the second, one without it the first.
__device__ __forceinline__ std::uint32_t keep_larger(std::uint32_t first, std::uint32_t second, std::uint32_t bit) {
  const bool has_bit = (threadIdx.x & bit) != 0;
  const std::uint32_t theirs = __shfl_xor_sync(0xFFFFFFFFU, has_bit ? first : second, bit);
  return max(has_bit ? second : first, theirs);
}
// Of each of four columns, the largest of the 8 lanes 4 g + t of a t: lane 4 i + t and lane 16 + 4 i + t answer with
// that of the i-th.
__device__ __forceinline__ std::uint32_t largest_of_rows(const std::uint32_t (&bits)[4]) {
  const std::uint32_t low = keep_larger(bits[0], bits[1], 4);
  const std::uint32_t high = keep_larger(bits[2], bits[3], 4);
  const std::uint32_t own = keep_larger(low, high, 8);
  return max(own, __shfl_xor_sync(0xFFFFFFFFU, own, 16));
}

// The rounding of round_columns(), under `mine` of the lane that found a column's scale. kUsual: in all of them all is
// finite, and nothing is divided.
template <bool kUsual, bool kWholeBlocks>
__device__ __forceinline__ void round_under(const BlockScale& mine, bool is_finite, float* h) {
#pragma unroll
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint32_t from = 4 * i + threadIdx.x % 4;
    BlockScale scale;
    scale.scale = __shfl_sync(0xFFFFFFFFU, mine.scale, from);
    scale.multiplier = __shfl_sync(0xFFFFFFFFU, mine.multiplier, from);
    scale.high = __shfl_sync(0xFFFFFFFFU, mine.high, from);
    scale.low = __shfl_sync(0xFFFFFFFFU, mine.low, from);
    scale.is_exact = kUsual || __shfl_sync(0xFFFFFFFFU, mine.is_exact ? 1 : 0, from) != 0;
    const bool rounds = kUsual || __shfl_sync(0xFFFFFFFFU, is_finite ? 1 : 0, from) != 0;
    float* const value = h + i / 2 * 4 + i % 2;
    const float nan = __uint_as_float(0x7FC00000U);
    value[0] = rounds ? scale.round(value[0]) : nan;
    if constexpr (kWholeBlocks) value[2] = rounds ? scale.round(value[2]) : nan;
  }
}

// h[4 b], h[4 b + 1], b 0 or 1: a lane's columns 2t and 2t + 1 of the b-th 8, in row g of the warp; h[4 b + 2],
// h[4 b + 3]: in row g + 8, which kWholeBlocks means to exist. Else the warp beside has the other 8 rows, and calls
// this, too.
template <bool kWholeBlocks>
__device__ __forceinline__ void round_columns(float* h, const RowScale& row, SharedMagnitudes& shared,
                                              std::uint32_t turn) {
  std::uint32_t bits[4];
#pragma unroll
  for (std::uint32_t i = 0; i < 4; ++i) {
    const float* const value = h + i / 2 * 4 + i % 2;
    bits[i] = magnitude_bits(value[0]);
    if constexpr (kWholeBlocks) bits[i] = max(bits[i], magnitude_bits(value[2]));
  }
  std::uint32_t largest = largest_of_rows(bits);
  if constexpr (!kWholeBlocks) {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t warp = of_warp((threadIdx.x - kCopyThreads) / 32);
    auto& magnitudes = shared.bits[turn % 2];
    if (lane < 16) magnitudes[warp][lane] = largest;
    sync_pair(warp);
    largest = max(largest, magnitudes[warp ^ 1][lane % 16]);
  }
  const BlockScale mine = BlockScale::from_largest(row, __uint_as_float(largest));
  const bool is_finite = largest < kFloatInfinityBits;
  if (__all_sync(0xFFFFFFFFU, is_finite && mine.is_exact)) {
    round_under<true, kWholeBlocks>(mine, is_finite, h);
  } else {
    round_under<false, kWholeBlocks>(mine, is_finite, h);
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
