// y[t, n] = sum * 2^8 * scale2 * factor of the token + bias, as BF16 or float32.
#pragma once

#include <cstdint>

#include "kernels/contract/device_linear.h"
#include "kernels/cuda_sm90/wgmma_kernel.cuh"

namespace nvfp4::kernels::cuda_sm90 {

struct LinearOutput {
  static constexpr bool kRowSource = false;

  ColumnMatrix source;
  DeviceShardScales shards;
  const float* bias = nullptr;         // [N] or null
  const float* row_factors = nullptr;  // [T] or null: 1
  std::uint32_t out_features = 0;      // N
  bool to_f32 = false;
  void* y = nullptr;  // [T, N]

  // Of rows g and g + 8 of a row group; beyond N: anything.
  struct RowTerms {
    float scale, scale8, bias, bias8;
  };
  [[nodiscard]] __device__ __forceinline__ float scale_of(std::uint32_t row) const {
    float scale = shards.scale2[0];
    for (std::uint32_t shard = 1; shard < shards.count; ++shard) {
      if (row >= shards.end_rows[shard - 1]) scale = shards.scale2[shard];
    }
    return scale * kFragmentUnit;
  }
  [[nodiscard]] __device__ __forceinline__ RowTerms terms_of(std::uint32_t row) const {
    return {scale_of(row), scale_of(row + 8), bias != nullptr && row < out_features ? bias[row] : 0.0F,
            bias != nullptr && row + 8 < out_features ? bias[row + 8] : 0.0F};
  }

  struct Scales {};
  using Shared = NothingShared;
  [[nodiscard]] __device__ __forceinline__ Scales scales(const WgmmaTile& /*tile*/) const { return {}; }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store(const WgmmaTile& tile, Scales /*scales*/, NothingShared& /*shared*/,
                                        float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t in_tile = of_warp((threadIdx.x - kCopyThreads) / 32);
    if (in_tile >= tile.num_groups) return;
    const std::uint32_t first_row = (tile.first_group + in_tile) * 16;
    const RowTerms terms = terms_of(first_row + lane / 4);
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_valid) break;
      const std::uint32_t column = block * 8 + lane % 4 * 2;
      float2 factors = {1.0F, 1.0F};
      if (row_factors != nullptr) {
        factors.x = row_factors[tile.first_row + min(column, tile.num_valid - 1)];
        factors.y = row_factors[tile.first_row + min(column + 1, tile.num_valid - 1)];
      }
      const float2 of_g = {fmaf(sums[4 * block], terms.scale * factors.x, terms.bias),
                           fmaf(sums[4 * block + 1], terms.scale * factors.y, terms.bias)};
      const float2 of_g8 = {fmaf(sums[4 * block + 2], terms.scale8 * factors.x, terms.bias8),
                            fmaf(sums[4 * block + 3], terms.scale8 * factors.y, terms.bias8)};
      if (to_f32) {
        store_f32(tile, first_row + lane / 4, column, of_g, of_g8);
      } else {
        store_bf16(tile, first_row, block * 8, of_g, of_g8);
      }
    }
  }

 private:
  __device__ __forceinline__ void store_f32(const WgmmaTile& tile, std::uint32_t row, std::uint32_t column, float2 of_g,
                                            float2 of_g8) const {
    float* to = static_cast<float*>(y) + (tile.first_row + std::uint64_t{column}) * out_features + row;
    const bool has_g = row < out_features;
    const bool has_g8 = row + 8 < out_features;
    if (column < tile.num_valid) {
      if (has_g) to[0] = of_g.x;
      if (has_g8) to[8] = of_g8.x;
    }
    if (column + 1 < tile.num_valid) {
      if (has_g) to[out_features] = of_g.y;
      if (has_g8) to[out_features + 8] = of_g8.y;
    }
  }

  __device__ __forceinline__ void store_bf16(const WgmmaTile& tile, std::uint32_t first_row, std::uint32_t first_column,
                                             float2 of_g, float2 of_g8) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t low = transpose_8x8(pack_bf16(of_g));
    const std::uint32_t high = transpose_8x8(pack_bf16(of_g8));
    const std::uint32_t column = first_column + lane / 4;
    if (column >= tile.num_valid) return;
    const std::uint32_t row = first_row + lane % 4 * 2;
    auto* to = static_cast<std::uint16_t*>(y) + (tile.first_row + std::uint64_t{column}) * out_features + row;
    store_two(to, row, low);
    store_two(to + 8, row + 8, high);
  }
  // Two neighbouring rows of a token, as far as they exist.
  __device__ __forceinline__ void store_two(std::uint16_t* to, std::uint32_t row, std::uint32_t two) const {
    if (out_features % 2 == 0) {
      if (row < out_features) *reinterpret_cast<std::uint32_t*>(to) = two;
      return;
    }
    if (row < out_features) to[0] = static_cast<std::uint16_t>(two);
    if (row + 1 < out_features) to[1] = static_cast<std::uint16_t>(two >> 16);
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
