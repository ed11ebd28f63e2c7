// What the kernels for few tokens are called with, and what their blocks hand to a Sink.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/contract/device_plan.h"
#include "kernels/cuda_sm90/known_divisor.h"
#include "kernels/cuda_sm90/linear_decode_pipe.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"

namespace nvfp4::kernels::cuda_sm90 {

struct DecodeMatrices {
  const std::uint8_t* data = nullptr;  // [experts][row_groups][num_tiles][576]
  KnownDivisor row_groups;
  std::uint32_t num_tiles = 0;
  std::uint32_t num_cols = 0;  // K, a multiple of 16
};

struct DecodeRows {
  const Bf16Bits* values = nullptr;  // [count, K]
  const float* factors = nullptr;    // [count] or null: 1
  std::uint32_t count = 0;
  // Of kernels whose rows are not pairs:
  KnownDivisor divisor;                 // pairs of a row
  const float* pair_factors = nullptr;  // [pairs] or null: 1
};

struct DecodeCall {
  DecodePipe pipe;
  DecodeMatrices matrices;
  DecodeRows rows;
  DecodePairs pairs;
  KnownDivisor blocks;         // of the launch
  std::uint32_t sixteen = 16;  // see decode_row_scales()
};

// The tokens whose sums a lane has: columns 2t and 2t + 1 of each eight. Rows are g and g + 8.
template <std::uint32_t kColumns>
struct SumColumns {
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  std::uint32_t member[kColumns][2];
  float factor[kColumns][2];
};

__device__ __forceinline__ float sum_of_row_g(const float4& total, std::uint32_t h) {
  return h == 0 ? total.x : total.y;
}
__device__ __forceinline__ float sum_of_row_g8(const float4& total, std::uint32_t h) {
  return h == 0 ? total.z : total.w;
}

// Calls store(member, factor, row g's sum, row g + 8's) for the lane's tokens.
template <std::uint32_t kColumns, class Store>
__device__ __forceinline__ void for_each_sum(const SumColumns<kColumns>& columns, const float4 (&totals)[kColumns],
                                             Store&& store) {
#pragma unroll
  for (std::uint32_t n = 0; n < kColumns; ++n) {
#pragma unroll
    for (std::uint32_t h = 0; h < 2; ++h) {
      if (columns.member[n][h] == SumColumns<kColumns>::kNone) continue;
      store(columns.member[n][h], columns.factor[n][h], sum_of_row_g(totals[n], h), sum_of_row_g8(totals[n], h));
    }
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
