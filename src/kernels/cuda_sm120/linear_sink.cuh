// y[t, n] = round(sum * scale2 * factor of t + bias[n]), scale2 that of the row's shard.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/contract/device_linear.h"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_sm120/fp4_items.cuh"

namespace nvfp4::kernels::cuda_sm120 {

struct LinearSink {
  DeviceShardScales shards;
  const float* factors = nullptr;  // [T]
  const float* bias = nullptr;     // [N] or null
  std::uint32_t num_features = 0;  // N
  bool is_f32 = false;
  void* y = nullptr;  // [T, N]

  // Of rows g and g + 8 of two row groups.
  struct Terms {
    float scale[2][2], bias[2][2];
  };
  [[nodiscard]] __device__ __forceinline__ Terms terms(const Fp4Item& /*item*/, std::uint32_t first_group,
                                                       std::uint32_t lane) const {
    Terms terms;
#pragma unroll
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t row = min(first_group * 16 + i * 8 + lane / 4, num_features - 1);
      terms.scale[i / 2][i % 2] = scale_of(row);
      terms.bias[i / 2][i % 2] = bias == nullptr ? 0.0F : bias[row];
    }
    return terms;
  }

  __device__ __forceinline__ void put(const Fp4Item& item, const Terms& terms, std::uint32_t first_group,
                                      std::uint32_t num_groups, std::uint32_t first_token, std::uint32_t lane,
                                      float (&low)[4], float (&high)[4]) const {
    const std::uint32_t token = first_token + lane % 4 * 2;
    const std::uint32_t last = item.num_tokens - 1;
    const float factor[2] = {factors[item.first_row + min(token, last)],
                             factors[item.first_row + min(token + 1, last)]};
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (i >= num_groups) break;
      float(&sums)[4] = i == 0 ? low : high;
#pragma unroll
      for (std::uint32_t j = 0; j < 4; ++j) {
        sums[j] = __fmaf_rn(sums[j], terms.scale[i][j / 2] * factor[j % 2], terms.bias[i][j / 2]);
      }
      const std::uint32_t row = (first_group + i) * 16;
      if (is_f32) {
        put_f32(item, row, token, lane, sums);
      } else {
        put_bf16(item, row, first_token, lane, sums);
      }
    }
  }

 private:
  [[nodiscard]] __device__ __forceinline__ float scale_of(std::uint32_t row) const {
    float scale = shards.scale2[0];
#pragma unroll
    for (std::uint32_t i = 1; i < kMaxDeviceShards; ++i) {
      if (i < shards.count && row >= shards.end_rows[i - 1]) scale = shards.scale2[i];
    }
    return scale;
  }
  __device__ __forceinline__ void put_f32(const Fp4Item& item, std::uint32_t first_row, std::uint32_t token,
                                          std::uint32_t lane, const float (&sums)[4]) const {
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) {
      const std::uint32_t row = first_row + lane / 4 + j / 2 * 8;
      if (row >= num_features || token + j % 2 >= item.num_tokens) continue;
      static_cast<float*>(y)[std::size_t{item.first_row + token + j % 2} * num_features + row] = sums[j];
    }
  }
  // Lanes exchange sums so that each has two neighbouring rows of a token.
  __device__ __forceinline__ void put_bf16(const Fp4Item& item, std::uint32_t first_row, std::uint32_t first_token,
                                           std::uint32_t lane, const float (&sums)[4]) const {
    const std::uint32_t token = first_token + lane / 4;
#pragma unroll
    for (std::uint32_t half = 0; half < 2; ++half) {
      const __nv_bfloat162 rounded = __floats2bfloat162_rn(sums[2 * half], sums[2 * half + 1]);
      const std::uint32_t pair = transpose_pairs(*reinterpret_cast<const std::uint32_t*>(&rounded));
      const std::uint32_t row = first_row + half * 8 + lane % 4 * 2;
      if (row >= num_features || token >= item.num_tokens) continue;
      Bf16Bits* const to = static_cast<Bf16Bits*>(y) + std::size_t{item.first_row + token} * num_features + row;
      if (num_features % 2 == 0) {
        *reinterpret_cast<std::uint32_t*>(to) = pair;
        continue;
      }
      to[0] = static_cast<Bf16Bits>(pair);
      if (row + 1 < num_features) to[1] = static_cast<Bf16Bits>(pair >> 16U);
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm120
