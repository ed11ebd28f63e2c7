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
      const Outputs outputs = outputs_of(tile, terms, block * 8 + lane % 4 * 2, sums + 4 * block);
      if (to_f32) {
        store_f32(tile, first_row + lane / 4, block * 8 + lane % 4 * 2, outputs);
      } else {
        store_bf16(tile, first_row, block * 8, outputs);
      }
    }
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_lines(const WgmmaTile& tile, Scales scales, NothingShared& shared,
                                              std::uint32_t buffers, float (&sums)[kMaxColumns / 2]) const {
    if (to_f32) {
      store<kMaxColumns>(tile, scales, shared, sums);
      return;
    }
    const OutputBuffers<8> output{buffers, of_warp(threadIdx.x / 128)};
    const std::uint32_t first_row = (tile.first_group + of_warp((threadIdx.x - kCopyThreads) / 128 * 4)) * 16;
    const RowTerms terms = terms_of(first_row + output.warp() * 16 + output.lane() / 4);
    const std::uint32_t row = first_row + output.piece() * 8;
    const bool is_whole = out_features % 8 == 0 && reinterpret_cast<std::uintptr_t>(y) % 16 == 0;
    auto* const to = static_cast<std::uint16_t*>(y) + std::uint64_t{tile.first_row} * out_features + row;
    const auto put = [&](std::uint32_t block, std::uint32_t buffer) {
      const Outputs now = outputs_of(tile, terms, block * 8 + output.lane() % 4 * 2, sums + 4 * block);
      const Outputs next = outputs_of(tile, terms, block * 8 + 8 + output.lane() % 4 * 2, sums + 4 * block + 4);
      store_4_matrices_transposed(buffer + place_of_two_blocks(output),
                                  {pack_bf16(now.g), pack_bf16(now.g8), pack_bf16(next.g), pack_bf16(next.g8)});
    };
    const auto take = [&](std::uint32_t column, uint4 numbers) {
      if (column >= tile.num_valid || row >= out_features) return;
      std::uint16_t* const place = to + std::uint64_t{column} * out_features;
      if (is_whole) {
        *reinterpret_cast<uint4*>(place) = numbers;
        return;
      }
      const std::uint32_t pairs[4] = {numbers.x, numbers.y, numbers.z, numbers.w};
#pragma unroll
      for (std::uint32_t i = 0; i < 8; ++i) {
        if (row + i < out_features) place[i] = static_cast<std::uint16_t>(pairs[i / 2] >> i % 2 * 16);
      }
    };
    output.store<kMaxColumns>(tile.num_valid, put, take);
  }

 private:
  // Of rows g and g + 8, columns 2t and 2t + 1 of 8.
  struct Outputs {
    float2 g, g8;
  };
  [[nodiscard]] __device__ __forceinline__ Outputs outputs_of(const WgmmaTile& tile, const RowTerms& terms,
                                                              std::uint32_t column, const float* sums) const {
    float2 factors = {1.0F, 1.0F};
    if (row_factors != nullptr) {
      factors.x = row_factors[tile.first_row + min(column, tile.num_valid - 1)];
      factors.y = row_factors[tile.first_row + min(column + 1, tile.num_valid - 1)];
    }
    return {
        {fmaf(sums[0], terms.scale * factors.x, terms.bias), fmaf(sums[1], terms.scale * factors.y, terms.bias)},
        {fmaf(sums[2], terms.scale8 * factors.x, terms.bias8), fmaf(sums[3], terms.scale8 * factors.y, terms.bias8)}};
  }

  __device__ __forceinline__ void store_f32(const WgmmaTile& tile, std::uint32_t row, std::uint32_t column,
                                            const Outputs& outputs) const {
    float* to = static_cast<float*>(y) + (tile.first_row + std::uint64_t{column}) * out_features + row;
    const bool has_g = row < out_features;
    const bool has_g8 = row + 8 < out_features;
    if (column < tile.num_valid) {
      if (has_g) to[0] = outputs.g.x;
      if (has_g8) to[8] = outputs.g8.x;
    }
    if (column + 1 < tile.num_valid) {
      if (has_g) to[out_features] = outputs.g.y;
      if (has_g8) to[out_features + 8] = outputs.g8.y;
    }
  }

  __device__ __forceinline__ void store_bf16(const WgmmaTile& tile, std::uint32_t first_row, std::uint32_t first_column,
                                             const Outputs& outputs) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t low = transpose_pairs(pack_bf16(outputs.g));
    const std::uint32_t high = transpose_pairs(pack_bf16(outputs.g8));
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
