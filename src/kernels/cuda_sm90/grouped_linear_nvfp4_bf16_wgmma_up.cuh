// FC1 of experts: h[r, i] = act(gate[r, i], up[r, i]), each sum * 2^8 * scale2 * factor of the row.
//
// A lane has, of 16 rows of the weight, rows g and g + 8: gate and up of the same i, or two rows of up. h goes to the
// image that FC2 multiplies, rounded to BF16 or to NVFP4, or to rows of float32 for a quantiser.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_sm90/rounded_columns.cuh"
#include "kernels/cuda_sm90/wgmma_kernel.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// gate / (1 + exp(-slope)).
__device__ __forceinline__ float times_logistic(float gate, float slope) {
  return __fdividef(gate, 1.0F + power_of_two(slope * -1.4426950408889634F));  // a subnormal one is lost beside the 1
}

// kRounds: the activations of the layer are NVFP4. These are kernels of their own: in one, the compiler has too few
// registers to keep products in flight.
template <ExpertFunction kFunction, bool kRounds>
struct ExpertUp {
  static constexpr bool kRowSource = true;
  static constexpr std::uint32_t kMostColumns = 128;
  static constexpr bool kByLines = !kRounds;
  static constexpr bool kGated = is_gated(kFunction);

  RowSource source;
  const float* gate_scale2 = nullptr;     // [E]
  const float* up_scale2 = nullptr;       // [E]
  const float* x_input_scales = nullptr;  // [E] NVFP4 scales of the rows, if all of an expert have the same; null: 1
  const float* row_factors = nullptr;     // kRounds: [rows of x] or null: 1
  const float* pair_factors = nullptr;    // else: [T * k] or null: 1
  float alpha = 0.0F, beta = 0.0F, limit = 0.0F;
  std::uint32_t intermediate = 0;  // I
  std::uint8_t* image = nullptr;   // [ceil(I / 64)][image_rows][128 bytes], or
  std::uint64_t image_rows = 0;
  // [E] kRounds: h is rounded to NVFP4 under it before it goes to the image; null: it goes to `h`. Without kRounds h
  // goes to the image as BF16.
  const float* h_input_scales = nullptr;
  QuantizerRule rule = QuantizerRule::kModelOpt;  // of both
  float* h = nullptr;                             // [T * k, I], by pair; without pairs by sorted row
  const std::int32_t* pair_of_h = nullptr;        // [sorted rows] or null

  // kernels/contract/device_moe.h has the equations. A NaN stays one.
  [[nodiscard]] __device__ __forceinline__ float apply(float gate, float up) const {
    if constexpr (kFunction == ExpertFunction::kSilu) return times_logistic(gate, gate) * up;
    if constexpr (kFunction == ExpertFunction::kGeluTanh) {
      constexpr float kTwiceRoot = 1.5957691216057308F;  // 2 sqrt(2 / pi)
      const float u = kTwiceRoot * (gate + 0.044715F * gate * gate * gate);
      return times_logistic(gate, u) * up;
    }
    if constexpr (kFunction == ExpertFunction::kSwigluOai) {
      const float g = gate > limit ? limit : gate;
      const float low = up < -limit ? -limit : up;
      return times_logistic(g, alpha * g) * ((low > limit ? limit : low) + beta);
    }
    const float positive = up < 0.0F ? 0.0F : up;
    return positive * positive;
  }

  [[nodiscard]] __device__ __forceinline__ bool has_factors() const {
    return kRounds ? row_factors != nullptr : pair_factors != nullptr;
  }
  [[nodiscard]] __device__ __forceinline__ float factor(const WgmmaTile& tile, std::uint32_t column) const {
    const std::uint32_t sorted_row = tile.first_row + min(column, tile.num_valid - 1);
    return kRounds ? row_factors[source.row(sorted_row)] : pair_factors[source.pair_of_row[sorted_row]];
  }

  // A lane's 2 x 2 sums of 8 tokens become h: of row g (and, without a gate, g + 8), tokens 2t and 2t + 1.
  __device__ __forceinline__ void apply_to_block(float* sums, float gate_scale, float up_scale) const {
    if constexpr (kGated) {
      sums[0] = apply(sums[0] * gate_scale, sums[2] * up_scale);
      sums[1] = apply(sums[1] * gate_scale, sums[3] * up_scale);
    } else {
#pragma unroll
      for (std::uint32_t i = 0; i < 4; ++i) sums[i] = apply(0.0F, sums[i] * up_scale);
    }
  }

  struct Scales {
    float gate, up;  // of sums
    float h_input;
  };
  [[nodiscard]] __device__ __forceinline__ Scales scales(const WgmmaTile& tile) const {
    const float of_x = !kRounds || x_input_scales == nullptr
                           ? 1.0F
                           : RowScale::from_stored(rule, x_input_scales[tile.expert]).multiplier();
    return {kGated ? gate_scale2[tile.expert] * kFragmentUnit * of_x : 0.0F,
            up_scale2[tile.expert] * kFragmentUnit * of_x,
            kRounds && h_input_scales != nullptr ? h_input_scales[tile.expert] : 0.0F};
  }

  using Shared = std::conditional_t<kRounds, SharedMagnitudes, NothingShared>;

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store(const WgmmaTile& tile, const Scales& scales, Shared& shared,
                                        float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t in_tile = of_warp((threadIdx.x - kCopyThreads) / 32);
    const std::uint32_t group = tile.first_group + in_tile;
    const std::uint32_t piece = kGated ? group : 2 * group;  // of 8 numbers of a row of h
    if (piece / 8 >= (intermediate + 63) / 64) return;
    if (has_factors()) multiply_by_factors<kMaxColumns>(tile, sums);
    const bool exists = in_tile < tile.num_groups;  // else it is the image's end: zeros
    if constexpr (!kRounds) {
      store_image<kMaxColumns>(ImagePlace(*this, tile, piece, exists), scales, sums);
    } else if (h_input_scales != nullptr) {
      store_rounded<kMaxColumns>(tile, ImagePlace(*this, tile, piece, exists), scales, shared, sums);
      if (kGated) sync_pair(in_tile);  // before the magnitudes of the next tile
    } else if (exists) {
      store_rows<kMaxColumns>(tile, piece, scales, sums);
    }
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_lines(const WgmmaTile& tile, const Scales& scales, Shared& /*shared*/,
                                              std::uint32_t buffers, float (&sums)[kMaxColumns / 2]) const {
    constexpr std::uint32_t kPieces = kGated ? 4 : 8;  // of a warpgroup, all in the same 128 bytes
    const OutputBuffers<kPieces> output{buffers, of_warp(threadIdx.x / 128)};
    const std::uint32_t first = of_warp((threadIdx.x - kCopyThreads) / 128 * 4);
    const bool exists = first + output.warp() < tile.num_groups;  // else it is the image's end: zeros
    const std::uint32_t piece = (tile.first_group + first) * (kPieces / 4) + output.piece();
    if (piece / 8 >= (intermediate + 63) / 64) return;
    if (has_factors()) multiply_by_factors<kMaxColumns>(tile, sums);
    std::uint8_t* const to = image + (piece / 8 * image_rows + tile.image_row) * kColumnBytes;
    const auto put = [&](std::uint32_t block, std::uint32_t buffer) {
      constexpr std::uint32_t kBlocks = kGated ? 4 : 2;
#pragma unroll
      for (std::uint32_t i = block; i < block + kBlocks; ++i) apply_to_block(sums + 4 * i, scales.gate, scales.up);
      std::uint32_t pairs[4];
#pragma unroll
      for (std::uint32_t i = 0; i < 4; ++i) {
        const float* const pair = sums + 4 * block + (kGated ? 4 * i : 2 * i);
        pairs[i] = exists ? pack_bf16({pair[0], pair[1]}) : 0;
      }
      if constexpr (kGated) {
        store_4_matrices_transposed(buffer + place_of_piece<4>(output.lane(), output.warp()), pairs);
      } else {
        store_4_matrices_transposed(buffer + place_of_two_blocks(output), pairs);
      }
    };
    const auto take = [&](std::uint32_t column, uint4 numbers) {
      if (column >= tile.num_columns) return;
      *reinterpret_cast<uint4*>(to + column * kColumnBytes + (piece ^ column) % 8 * 16) = numbers;
    };
    output.template store<kMaxColumns>(tile.num_columns, put, take);
  }

 private:
  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void multiply_by_factors(const WgmmaTile& tile, float (&sums)[kMaxColumns / 2]) const {
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_columns) break;
      const std::uint32_t column = block * 8 + threadIdx.x % 4 * 2;
      const float left = factor(tile, column);
      const float right = factor(tile, column + 1);
      sums[4 * block] *= left, sums[4 * block + 1] *= right;
      sums[4 * block + 2] *= left, sums[4 * block + 3] *= right;
    }
  }

  // Where a lane's part of 8 tokens goes. Eight numbers of a token are 16 bytes in its 128, at a place that depends on
  // its row as in shared memory.
  struct ImagePlace {
    std::uint8_t* of_g;
    std::uint8_t* of_g8;
    std::uint32_t num_columns;
    bool exists;

    __device__ __forceinline__ ImagePlace(const ExpertUp& up, const WgmmaTile& tile, std::uint32_t piece, bool has_rows)
        : num_columns(tile.num_columns), exists(has_rows) {
      const std::uint32_t lane = threadIdx.x % 32;
      const std::uint32_t row = lane / 4;
      std::uint8_t* const of_row =
          up.image + (piece / 8 * up.image_rows + tile.image_row + row) * kColumnBytes + lane % 4 * 4;
      of_g = of_row + (piece % 8 ^ row) * 16;
      of_g8 = of_row + ((piece + 1) % 8 ^ row) * 16;
    }

    __device__ __forceinline__ void store_block(std::uint32_t block, const float* h_of_block) const {
      const bool is_column = block * 8 < num_columns;
      const std::uint32_t offset = block * 8 * kColumnBytes;
      const std::uint32_t g = transpose_pairs(exists ? pack_bf16({h_of_block[0], h_of_block[1]}) : 0);
      if (is_column) *reinterpret_cast<std::uint32_t*>(of_g + offset) = g;
      if constexpr (!kGated) {
        const std::uint32_t g8 = transpose_pairs(exists ? pack_bf16({h_of_block[2], h_of_block[3]}) : 0);
        if (is_column) *reinterpret_cast<std::uint32_t*>(of_g8 + offset) = g8;
      }
    }
  };

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_image(const ImagePlace& place, const Scales& scales,
                                              float (&sums)[kMaxColumns / 2]) const {
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= place.num_columns) break;
      apply_to_block(sums + 4 * block, scales.gate, scales.up);
      place.store_block(block, sums + 4 * block);
    }
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_rounded(const WgmmaTile& tile, const ImagePlace& place, const Scales& scales,
                                                Shared& shared, float (&sums)[kMaxColumns / 2]) const {
    constexpr std::uint32_t kBlocks = 2;  // of round_columns()
    const RowScale row = RowScale::from_stored(rule, scales.h_input);
#pragma unroll
    for (std::uint32_t first = 0; first < kMaxColumns / 8; first += kBlocks) {
      if (first * 8 >= tile.num_columns) break;
#pragma unroll
      for (std::uint32_t block = first; block < first + kBlocks; ++block) {
        apply_to_block(sums + 4 * block, scales.gate, scales.up);
      }
      round_columns<!kGated>(sums + 4 * first, row, shared, first / kBlocks);
#pragma unroll
      for (std::uint32_t block = first; block < first + kBlocks; ++block) {
        place.store_block(block, sums + 4 * block);
      }
    }
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_rows(const WgmmaTile& tile, std::uint32_t piece, const Scales& scales,
                                             float (&sums)[kMaxColumns / 2]) const {
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_columns) break;
      apply_to_block(sums + 4 * block, scales.gate, scales.up);
      store_f32(tile, piece, block * 8 + threadIdx.x % 4 * 2, sums + 4 * block);
    }
  }

  __device__ __forceinline__ void store_f32(const WgmmaTile& tile, std::uint32_t piece, std::uint32_t column,
                                            const float* h_of_block) const {
    const std::uint32_t place = piece * 8 + threadIdx.x % 32 / 4;
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (column + i >= tile.num_valid) return;
      float* const to = h + row_of_h(tile.first_row + column + i) * intermediate + place;
      to[0] = h_of_block[i];
      if constexpr (!kGated) to[8] = h_of_block[2 + i];
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint64_t row_of_h(std::uint32_t sorted_row) const {
    return pair_of_h == nullptr ? sorted_row : static_cast<std::uint32_t>(pair_of_h[sorted_row]);
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
