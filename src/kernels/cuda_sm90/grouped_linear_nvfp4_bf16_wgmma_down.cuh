// FC2 of experts: partial[r, n] = sum * 2^8 * scale2 * factor of the row, in float32, or in half the bytes: then
// without the factors, which go to an array of their own.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_sm90/paired_floats.cuh"
#include "kernels/cuda_sm90/wgmma_kernel.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Columns: ColumnImage (BF16 as FC1 writes it) or RowSource (rows of a quantiser).
template <class Columns>
struct ExpertDown {
  static constexpr bool kRowSource = Columns::kByRow;
  static constexpr std::uint32_t kMostColumns = kRowSource ? 128 : 256;
  static constexpr bool kByLines = false;  // eight rows of float32, or sixteen in pairs, are whole sectors

  Columns source;
  const float* scale2 = nullptr;        // [E]
  const float* row_factors = nullptr;   // RowSource: [rows of x] or null: 1
  const float* input_scales = nullptr;  // [E] of the rows, if all of an expert have the same; null: 1
  QuantizerRule rule = QuantizerRule::kModelOpt;
  std::uint32_t row_groups = 0;
  float* partial = nullptr;         // [sorted rows][16 row_groups], or
  std::uint32_t* paired = nullptr;  // [sorted rows][row_groups][8]: rows g and g + 8 as a word of paired_floats.cuh
  float* paired_scales = nullptr;   // [sorted rows]

  [[nodiscard]] __device__ __forceinline__ float factor(const WgmmaTile& tile, std::uint32_t column) const {
    if constexpr (kRowSource) {
      if (row_factors != nullptr) return row_factors[source.row(tile.first_row + min(column, tile.num_valid - 1))];
    }
    return 1.0F;
  }

  using Scales = float;
  using Shared = NothingShared;
  [[nodiscard]] __device__ __forceinline__ Scales scales(const WgmmaTile& tile) const {
    const float scale = kFragmentUnit * scale2[tile.expert];
    return input_scales == nullptr ? scale
                                   : scale * RowScale::from_stored(rule, input_scales[tile.expert]).multiplier();
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store(const WgmmaTile& tile, Scales scale, NothingShared& /*shared*/,
                                        float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t in_tile = of_warp((threadIdx.x - kCopyThreads) / 32);
    if (in_tile >= tile.num_groups) return;
    if (partial != nullptr) {
      store_f32<kMaxColumns>(tile, tile.first_group + in_tile, scale, sums);
    } else {
      store_paired<kMaxColumns>(tile, tile.first_group + in_tile, scale, sums);
    }
  }

 private:
  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_f32(const WgmmaTile& tile, std::uint32_t group, float scale,
                                            float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint64_t row_size = std::uint64_t{row_groups} * 16;
    const std::uint32_t first = lane % 4 * 2;
    float* to = partial + (tile.first_row + first) * row_size + group * 16 + lane / 4;
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_valid) break;
      const std::uint32_t column = block * 8 + first;
      const float left = scale * factor(tile, column);
      const float right = scale * factor(tile, column + 1);
      if (column < tile.num_valid) {
        to[0] = sums[4 * block] * left;
        to[8] = sums[4 * block + 2] * left;
      }
      if (column + 1 < tile.num_valid) {
        to[row_size] = sums[4 * block + 1] * right;
        to[row_size + 8] = sums[4 * block + 3] * right;
      }
      to += 8 * row_size;
    }
  }

  template <std::uint32_t kMaxColumns>
  __device__ __forceinline__ void store_paired(const WgmmaTile& tile, std::uint32_t group, float scale,
                                               float (&sums)[kMaxColumns / 2]) const {
    const std::uint32_t lane = threadIdx.x % 32;
    if (group == 0) {
      for (std::uint32_t column = lane; column < tile.num_valid; column += 32) {
        paired_scales[tile.first_row + column] = scale * factor(tile, column);
      }
    }
    const std::uint64_t row_words = std::uint64_t{row_groups} * 8;
    const std::uint32_t first = lane % 4 * 2;
    std::uint32_t* to = paired + (tile.first_row + first) * row_words + group * 8 + lane / 4;
#pragma unroll
    for (std::uint32_t block = 0; block < kMaxColumns / 8; ++block) {
      if (block % kBlocksAtOnce == 0 && block * 8 >= tile.num_valid) break;
      const std::uint32_t left = encode_pair(sums[4 * block], sums[4 * block + 2]);
      const std::uint32_t right = encode_pair(sums[4 * block + 1], sums[4 * block + 3]);
      if (block * 8 + first < tile.num_valid) to[0] = left;
      if (block * 8 + first + 1 < tile.num_valid) to[row_words] = right;
      to += 8 * row_words;
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
