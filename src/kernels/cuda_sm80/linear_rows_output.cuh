// From sums to y.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda_sm80/bf16_pairs.cuh"
#include "kernels/cuda_sm80/linear_rows_call.h"

namespace nvfp4::kernels::cuda_sm80 {

// Of rows that may lie beyond N: anything there.
__device__ __forceinline__ float scale_of_row(const RowsOutput& output, std::uint32_t row) {
  if (output.row_scales != nullptr) return output.row_scales[min(row, output.num_features - 1)];
  float scale = output.shards.scale2[0];
#pragma unroll 1
  for (std::uint32_t i = 1; i < output.shards.count; ++i) {
    if (row >= output.shards.end_rows[i - 1]) scale = output.shards.scale2[i];
  }
  return scale;
}
__device__ __forceinline__ float bias_of_row(const RowsOutput& output, std::uint32_t row) {
  return output.bias == nullptr ? 0.0F : output.bias[min(row, output.num_features - 1)];
}
__device__ __forceinline__ float factor_of_token(const RowsOutput& output, std::uint32_t token) {
  return output.factors == nullptr ? 1.0F : output.factors[min(token, output.num_tokens - 1)];
}

__device__ __forceinline__ float finish_sum(float sum, float scale, float factor, float bias) {
  return fmaf(sum, scale * factor, bias);
}

// One number.
__device__ __forceinline__ void put(const RowsOutput& output, std::uint32_t row, std::uint32_t token, float value) {
  if (row >= output.num_features || token >= output.num_tokens) return;
  const std::size_t place = std::size_t{token} * output.num_features + row;
  if (output.is_f32) {
    static_cast<float*>(output.y)[place] = value;
  } else {
    static_cast<Bf16Bits*>(output.y)[place] = __bfloat16_as_ushort(__float2bfloat16_rn(value));
  }
}
// Rows `row` (even) and row + 1 of a token, as far as they exist.
__device__ __forceinline__ void put_pair(const RowsOutput& output, std::uint32_t row, std::uint32_t token,
                                         std::uint32_t pair) {
  if (row >= output.num_features || token >= output.num_tokens) return;
  Bf16Bits* const to = static_cast<Bf16Bits*>(output.y) + std::size_t{token} * output.num_features + row;
  if (output.num_features % 2 == 0) {
    *reinterpret_cast<std::uint32_t*>(to) = pair;
    return;
  }
  to[0] = static_cast<Bf16Bits>(pair);
  if (row + 1 < output.num_features) to[1] = static_cast<Bf16Bits>(pair >> 16U);
}

// A warp's sums of one product m16n8k16: what they are multiplied by and added to is the lane's, for rows g and g + 8
// behind first_row.
struct RowTerms {
  float scale, scale8, bias, bias8;

  __device__ __forceinline__ RowTerms(const RowsOutput& output, std::uint32_t first_row) {
    const std::uint32_t row = first_row + threadIdx.x % 32 / 4;
    scale = scale_of_row(output, row);
    scale8 = scale_of_row(output, row + 8);
    bias = bias_of_row(output, row);
    bias8 = bias_of_row(output, row + 8);
  }
};
__device__ __forceinline__ void put_product(const RowsOutput& output, const RowTerms& terms, std::uint32_t first_row,
                                            std::uint32_t first_token, const float (&sums)[4]) {
  const std::uint32_t g = threadIdx.x % 32 / 4;
  const std::uint32_t two_t = threadIdx.x % 4 * 2;
  const std::uint32_t token = first_token + two_t;
  const float factor = factor_of_token(output, token);
  const float factor1 = factor_of_token(output, token + 1);
  const float of_g = finish_sum(sums[0], terms.scale, factor, terms.bias);
  const float of_g_1 = finish_sum(sums[1], terms.scale, factor1, terms.bias);
  const float of_g8 = finish_sum(sums[2], terms.scale8, factor, terms.bias8);
  const float of_g8_1 = finish_sum(sums[3], terms.scale8, factor1, terms.bias8);
  if (output.is_f32) {
    put(output, first_row + g, token, of_g);
    put(output, first_row + g, token + 1, of_g_1);
    put(output, first_row + g + 8, token, of_g8);
    put(output, first_row + g + 8, token + 1, of_g8_1);
    return;
  }
  const std::uint32_t low = transpose_pairs(pack_pair(of_g, of_g_1));
  const std::uint32_t high = transpose_pairs(pack_pair(of_g8, of_g8_1));
  put_pair(output, first_row + two_t, first_token + g, low);
  put_pair(output, first_row + two_t + 8, first_token + g, high);
}

}  // namespace nvfp4::kernels::cuda_sm80
