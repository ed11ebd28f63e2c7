// FC1 of experts: h[r, i] = act(gate[r, i], up[r, i]), each sum * 2^8 * scale2 * factor of the row.
//
// A lane has, of 16 rows of the weight, rows g and g + 8: gate and up of the same i, or two rows of up. h goes to the
// image that FC2 multiplies, rounded to BF16, or to rows of float32 for a quantiser.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_sm90/wgmma_kernel.cuh"

namespace nvfp4::kernels::cuda_sm90 {

template <ExpertFunction kFunction>
struct ExpertUp {
  static constexpr bool kRowSource = true;
  static constexpr bool kGated = is_gated(kFunction);

  RowSource source;
  const float* gate_scale2 = nullptr;   // [E]
  const float* up_scale2 = nullptr;     // [E]
  const float* row_factors = nullptr;   // [rows of x] or null: 1
  const float* pair_factors = nullptr;  // [T * k] or null: 1
  float alpha = 0.0F, beta = 0.0F, limit = 0.0F;
  std::uint32_t intermediate = 0;  // I
  std::uint8_t* image = nullptr;   // [ceil(I / 64)][image_rows][128 bytes], or
  std::uint64_t image_rows = 0;
  float* h = nullptr;                       // [T * k, I], by pair; without pairs by sorted row
  const std::int32_t* pair_of_h = nullptr;  // [sorted rows] or null

  // kernels/contract/device_moe.h has the equations. A NaN stays one.
  [[nodiscard]] __device__ __forceinline__ float apply(float gate, float up) const {
    if constexpr (kFunction == ExpertFunction::kSilu) return __fdividef(gate, 1.0F + __expf(-gate)) * up;
    if constexpr (kFunction == ExpertFunction::kGeluTanh) {
      constexpr float kTwiceRoot = 1.5957691216057308F;  // 2 sqrt(2 / pi)
      const float u = kTwiceRoot * (gate + 0.044715F * gate * gate * gate);
      return __fdividef(gate, 1.0F + __expf(-u)) * up;
    }
    if constexpr (kFunction == ExpertFunction::kSwigluOai) {
      const float g = gate > limit ? limit : gate;
      const float low = up < -limit ? -limit : up;
      return __fdividef(g, 1.0F + __expf(-alpha * g)) * ((low > limit ? limit : low) + beta);
    }
    const float positive = up < 0.0F ? 0.0F : up;
    return positive * positive;
  }

  [[nodiscard]] __device__ __forceinline__ float factor(const WgmmaTile& tile, std::uint32_t column) const {
    const std::uint32_t sorted_row = tile.first_row + min(column, tile.num_valid - 1);
    float product = 1.0F;
    if (row_factors != nullptr) product = row_factors[source.row(sorted_row)];
    if (pair_factors != nullptr) product *= pair_factors[source.pair_of_row[sorted_row]];
    return product;
  }

  // Of a lane's 2 x 2 sums of 8 tokens: h of row g (and of row g + 8, without a gate), tokens 2t and 2t + 1.
  struct Pairs {
    float2 of_g, of_g8;
  };
  [[nodiscard]] __device__ __forceinline__ Pairs apply_to_block(const float* sums, float gate_scale, float up_scale,
                                                                float2 factors) const {
    if constexpr (kGated) {
      return {{apply(sums[0] * (gate_scale * factors.x), sums[2] * (up_scale * factors.x)),
               apply(sums[1] * (gate_scale * factors.y), sums[3] * (up_scale * factors.y))},
              {}};
    } else {
      return {{apply(0.0F, sums[0] * (up_scale * factors.x)), apply(0.0F, sums[1] * (up_scale * factors.y))},
              {apply(0.0F, sums[2] * (up_scale * factors.x)), apply(0.0F, sums[3] * (up_scale * factors.y))}};
    }
  }

  struct Scales {
    float gate, up;
  };
  [[nodiscard]] __device__ __forceinline__ Scales scales(const WgmmaTile& tile) const {
    return {kGated ? gate_scale2[tile.expert] : 0.0F, up_scale2[tile.expert]};
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store(const WgmmaTile& tile, const Scales& scales,
                                        float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t in_tile = (threadIdx.x - kCopyThreads) / 32;
    const std::uint32_t group = tile.first_group + in_tile;
    const std::uint32_t piece = kGated ? group : 2 * group;  // of 8 numbers of a row of h
    if (piece / 8 >= (intermediate + 63) / 64) return;
    const bool exists = in_tile < tile.num_groups;  // else the image's end: zeros
    const float up_scale = scales.up * kFragmentUnit;
    const float gate_scale = scales.gate * kFragmentUnit;
    const bool has_factors = row_factors != nullptr || pair_factors != nullptr;
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_columns) break;
      const std::uint32_t column = block * 8 + lane % 4 * 2;
      float2 factors = {1.0F, 1.0F};
      if (has_factors) factors = {factor(tile, column), factor(tile, column + 1)};
      const Pairs pairs = apply_to_block(sums + 4 * block, gate_scale, up_scale, factors);
      if (image == nullptr) {
        if (exists) store_f32(tile, piece, column, pairs);
      } else {
        store_image(tile, piece, block * 8, exists, pairs);
      }
    }
  }

 private:
  // Eight numbers of a token are 16 bytes in its 128, at a place that depends on its row as in shared memory.
  __device__ __forceinline__ void store_image(const WgmmaTile& tile, std::uint32_t piece, std::uint32_t first_column,
                                              bool exists, const Pairs& pairs) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t row = lane / 4;
    std::uint8_t* to =
        image + (piece / 8 * image_rows + tile.image_row + first_column + row) * kColumnBytes + lane % 4 * 4;
    const std::uint32_t of_g = transpose_8x8(exists ? pack_bf16(pairs.of_g) : 0);
    if (first_column < tile.num_columns) *reinterpret_cast<std::uint32_t*>(to + (piece % 8 ^ row) * 16) = of_g;
    if constexpr (!kGated) {
      const std::uint32_t of_g8 = transpose_8x8(exists ? pack_bf16(pairs.of_g8) : 0);
      if (first_column < tile.num_columns) {
        *reinterpret_cast<std::uint32_t*>(to + ((piece + 1) % 8 ^ row) * 16) = of_g8;
      }
    }
  }

  __device__ __forceinline__ void store_f32(const WgmmaTile& tile, std::uint32_t piece, std::uint32_t column,
                                            const Pairs& pairs) const {
    const std::uint32_t place = piece * 8 + threadIdx.x % 32 / 4;
    if (column < tile.num_valid) {
      float* to = h + row_of_h(tile.first_row + column) * intermediate + place;
      to[0] = pairs.of_g.x;
      if constexpr (!kGated) to[8] = pairs.of_g8.x;
    }
    if (column + 1 < tile.num_valid) {
      float* to = h + row_of_h(tile.first_row + column + 1) * intermediate + place;
      to[0] = pairs.of_g.y;
      if constexpr (!kGated) to[8] = pairs.of_g8.y;
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint64_t row_of_h(std::uint32_t sorted_row) const {
    return pair_of_h == nullptr ? sorted_row : static_cast<std::uint32_t>(pair_of_h[sorted_row]);
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
