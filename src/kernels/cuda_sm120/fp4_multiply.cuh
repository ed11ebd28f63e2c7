// A warp that multiplies: 32 rows of weights by its tokens, from the stages.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_sm120/fp4_items.cuh"
#include "layouts/block_scaled_16x64.h"

namespace nvfp4::kernels::cuda_sm120 {

// Sums [2 row groups][columns of 8 tokens][4], as the instruction has them.
template <std::uint32_t kColumns>
struct Fp4Sums {
  float of[2][kColumns][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kColumns * 4; ++i) of[i / 4 / kColumns][i / 4 % kColumns][i % 4] = 0.0F;
  }
};

template <std::uint32_t kShapeIdx>
class Fp4Multiply {
 public:
  static constexpr Fp4Shape kShape = kFp4Shapes[kShapeIdx];
  static constexpr std::uint32_t kColumns = kShape.columns;
  using Sums = Fp4Sums<kColumns>;

  // Warp `warp` of those that multiply.
  __device__ __forceinline__ explicit Fp4Multiply(std::uint32_t warp)
      : row_warp(warp % kShape.row_warps),
        token_warp(warp / kShape.row_warps % kShape.token_warps),
        depth_warp(warp / kShape.row_warps / kShape.token_warps) {}

  const std::uint32_t row_warp, token_warp, depth_warp;

  // Places of this lane's operands in a stage. What is missing to a tile is read elsewhere, and not used.
  __device__ __forceinline__ void begin(const Fp4Item& item) {
    const std::uint32_t lane = lane_from_here_on();
    const std::uint32_t g = lane / 4;
    const std::uint32_t t = lane % 4;
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      weights_at_[i] = min(2 * row_warp + i, item.num_groups - 1) * kGroupBytes + kCodesOffset + lane * 16;
    }
    weight_scales_at_ = min(2 * row_warp + t / 2, item.num_groups - 1) * kGroupBytes + (g * 2 + t % 2) * 4;
    const std::uint32_t first_token = token_warp * kColumns * 8;
    num_columns_ = first_token < item.num_tokens ? min((item.num_tokens - first_token + 7) / 8, kColumns) : 0;
    const auto token_at = [&](std::uint32_t token) {
      return kShape.groups() * kGroupBytes + min(first_token + token, item.num_tokens - 1) * kRowBytes;
    };
#pragma unroll
    for (std::uint32_t i = 0; i < kPairs; ++i) {
      tokens_at_[i] = token_at((2 * i + lane / 16 % kAtOnce) * 8 + lane % 8) + lane / 8 % 2 * 16;
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kScaleWords; ++i) {
      token_scales_at_[i] = token_at((4 * i + t % min_of(kColumns, 4)) * 8 + g) + kTokenScales;
    }
  }

  // The tiles of a chunk that are this warp's.
  __device__ __forceinline__ void add_chunk(std::uint32_t stage, std::uint32_t num_tiles, Sums& sums) const {
    if (num_columns_ == 0) return;
    constexpr std::uint32_t kSteps = kChunkTiles / kShape.depth_warps;
    if (depth_warp >= num_tiles) return;
    Weights weights[2];
    Tokens tokens;
    load(weights[0], stage, depth_warp);
#pragma unroll
    for (std::uint32_t i = 0; i < kColumns; i += kAtOnce) load(tokens, stage, depth_warp, i);
#pragma unroll
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      const std::uint32_t tile = depth_warp + step * kShape.depth_warps;
      if (tile >= num_tiles) break;
      const bool has_next = step + 1 < kSteps && tile + kShape.depth_warps < num_tiles;
      if (has_next) load(weights[(step + 1) % 2], stage, tile + kShape.depth_warps);
#pragma unroll
      for (std::uint32_t i = 0; i < kColumns; i += kAtOnce) {
        if (i != 0 && i >= num_columns_) break;
#pragma unroll
        for (std::uint32_t j = i; j < i + kAtOnce; ++j) {
          multiply<0>(sums.of[0][j], weights[step % 2], tokens, j);
          multiply<1>(sums.of[1][j], weights[step % 2], tokens, j);
        }
        if (has_next) load(tokens, stage, tile + kShape.depth_warps, i);  // over what was just used
      }
    }
  }

 private:
  static constexpr std::uint32_t kCodesOffset = BlockScaled16x64::kCodesOffset;
  static constexpr std::uint32_t kTileBytes = BlockScaled16x64::kBytes;
  static constexpr std::uint32_t kTokenScales = QuantizedRows256::kScalesOffset;
  static constexpr std::uint32_t kAtOnce = kColumns == 1 ? 1 : 2;  // columns that are loaded at once
  static constexpr std::uint32_t kPairs = kColumns / kAtOnce;
  static constexpr std::uint32_t kScaleWords = (kColumns + 3) / 4;  // lane t has those of columns 4i + t

  static constexpr std::uint32_t min_of(std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }

  struct Weights {
    std::uint32_t codes[2][4];
    std::uint32_t scales;
  };
  struct Tokens {
    std::uint32_t codes[kColumns][2];
    std::uint32_t scales[kScaleWords];
  };

  __device__ __forceinline__ void load(Weights& to, std::uint32_t stage, std::uint32_t tile) const {
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) load_4_words(to.codes[i], stage + weights_at_[i] + tile * kTileBytes);
    to.scales = load_word(stage + weight_scales_at_ + tile * kTileBytes);
  }
  // Columns i and on, and the scales of four when nothing else of these is to be multiplied before.
  __device__ __forceinline__ void load(Tokens& to, std::uint32_t stage, std::uint32_t tile, std::uint32_t i) const {
    if constexpr (kColumns == 1) {
      load_2_matrices(to.codes[0], stage + tokens_at_[0] + tile * 32);
    } else {
      load_4_matrices(to.codes[i], stage + tokens_at_[i / 2] + tile * 32);
    }
    if ((i + kAtOnce) % 4 == 0 || i + kAtOnce >= num_columns_) {
      to.scales[i / 4] = load_word(stage + token_scales_at_[i / 4] + tile * 4);
    }
  }

  // Row group kGroup by column i: the scales are those that lanes 2 kGroup, 2 kGroup + 1 and i % 4 of each quad hold.
  template <std::uint32_t kGroup>
  __device__ __forceinline__ static void multiply(float (&sums)[4], const Weights& weights, const Tokens& tokens,
                                                  std::uint32_t i) {
    const std::uint32_t scales = tokens.scales[i / 4];
    switch (i % 4) {
      case 0:
        return mma_m16n8k64_nvfp4<kGroup, 0>(sums, weights.codes[kGroup], tokens.codes[i], weights.scales, scales);
      case 1:
        return mma_m16n8k64_nvfp4<kGroup, 1>(sums, weights.codes[kGroup], tokens.codes[i], weights.scales, scales);
      case 2:
        return mma_m16n8k64_nvfp4<kGroup, 2>(sums, weights.codes[kGroup], tokens.codes[i], weights.scales, scales);
      default:
        return mma_m16n8k64_nvfp4<kGroup, 3>(sums, weights.codes[kGroup], tokens.codes[i], weights.scales, scales);
    }
  }

  std::uint32_t weights_at_[2], weight_scales_at_;
  std::uint32_t tokens_at_[kPairs], token_scales_at_[kScaleWords];
  std::uint32_t num_columns_ = 0;
};

}  // namespace nvfp4::kernels::cuda_sm120
