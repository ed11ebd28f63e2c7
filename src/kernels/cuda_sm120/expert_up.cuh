// FC1 of experts: h[r, i] = act(gate[r, i], up[r, i]), each sum * scale2 * factor of the row.
//
// A lane has, of two row groups, rows g and g + 8: gate and up of two numbers of h that are 8 apart, or, without a
// gate, four of up. So a warp has whole blocks of 16 numbers of a token's h, which it rounds to NVFP4 where they are,
// bit for bit what a quantiser makes of them; or it stores them as float32 for a quantiser.
#pragma once

#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_sm120/fp4_items.cuh"

namespace nvfp4::kernels::cuda_sm120 {

template <bool kGated>
struct ExpertUp {
  ExpertFunction function = ExpertFunction::kSilu;
  float alpha = 0.0F, beta = 0.0F, limit = 0.0F;
  const float* gate_scale2 = nullptr;  // [E]
  const float* up_scale2 = nullptr;    // [E]
  // Of rows of activations, by sorted row or, with pair_of_row, by token pair_of_row[r] / top_k.
  const float* factors = nullptr;
  const std::int32_t* pair_of_row = nullptr;
  std::uint32_t top_k = 1;
  std::uint32_t intermediate = 0;  // I
  // h by sorted row: NVFP4 under its expert's scale (layouts/quantized_rows_256.h, of code_rows rows), or float32.
  const float* h_input_scales = nullptr;  // [E] or null
  QuantizerRule rule = QuantizerRule::kModelOpt;
  std::uint8_t* codes = nullptr;
  std::uint64_t code_rows = 0;
  float* h = nullptr;  // [rows, I]

  struct Terms {
    float gate, up;
    RowScale h_scale;
  };
  [[nodiscard]] __device__ __forceinline__ Terms terms(const Fp4Item& item, std::uint32_t /*first_group*/,
                                                       std::uint32_t /*lane*/) const {
    Terms terms{kGated ? gate_scale2[item.expert] : 0.0F, up_scale2[item.expert], {}};
    if (h_input_scales != nullptr) terms.h_scale = RowScale::from_stored(rule, h_input_scales[item.expert]);
    return terms;
  }

  __device__ __forceinline__ void put(const Fp4Item& item, const Terms& terms, std::uint32_t first_group,
                                      std::uint32_t num_groups, std::uint32_t first_token, std::uint32_t lane,
                                      float (&low)[4], float (&high)[4]) const {
    const std::uint32_t token = first_token + lane % 4 * 2;
    const float factor[2] = {factor_of(item, token), factor_of(item, token + 1)};
    if constexpr (kGated) {
      // Columns g and g + 8 of one block of h, of two tokens.
      float block[2][2];
#pragma unroll
      for (std::uint32_t i = 0; i < 2; ++i) {
        block[i][0] = apply(low[i] * (terms.gate * factor[i]), low[2 + i] * (terms.up * factor[i]));
        block[i][1] = apply(high[i] * (terms.gate * factor[i]), high[2 + i] * (terms.up * factor[i]));
      }
      put_block(item, terms, first_group / 2, token, lane, block);
    } else {
#pragma unroll
      for (std::uint32_t group = 0; group < 2; ++group) {
        if (group >= num_groups) break;
        const float(&sums)[4] = group == 0 ? low : high;
        float block[2][2];
#pragma unroll
        for (std::uint32_t i = 0; i < 2; ++i) {
          block[i][0] = apply(0.0F, sums[i] * (terms.up * factor[i]));
          block[i][1] = apply(0.0F, sums[2 + i] * (terms.up * factor[i]));
        }
        put_block(item, terms, first_group + group, token, lane, block);
      }
    }
  }

 private:
  using Layout = QuantizedRows256;
  static constexpr std::uint32_t kLanes = 0xFFFFFFFFU;

  [[nodiscard]] __device__ __forceinline__ float factor_of(const Fp4Item& item, std::uint32_t token) const {
    const std::uint32_t row = item.first_row + min(token, item.num_tokens - 1);
    if (pair_of_row == nullptr) return factors[row];
    return factors[static_cast<std::uint32_t>(pair_of_row[row]) / top_k];
  }

  // kernels/contract/device_moe.h has the equations. A NaN stays one.
  [[nodiscard]] __device__ __forceinline__ float apply(float gate, float up) const {
    if constexpr (!kGated) {
      const float positive = up < 0.0F ? 0.0F : up;
      return positive * positive;
    }
    float slope = gate;  // gate / (1 + exp(-slope)) * up
    if (function == ExpertFunction::kGeluTanh) {
      constexpr float kTwiceRoot = 1.5957691216057308F;  // 2 sqrt(2 / pi)
      slope = kTwiceRoot * (gate + 0.044715F * gate * gate * gate);
    } else if (function == ExpertFunction::kSwigluOai) {
      gate = gate > limit ? limit : gate;
      slope = alpha * gate;
      const float least = up < -limit ? -limit : up;
      up = (least > limit ? limit : least) + beta;
    }
    return __fdividef(gate, 1.0F + __expf(-slope)) * up;
  }

  // [token 2t, 2t + 1][column g, g + 8] of block `block` of h.
  __device__ __forceinline__ void put_block(const Fp4Item& item, const Terms& terms, std::uint32_t block,
                                            std::uint32_t token, std::uint32_t lane,
                                            const float (&values)[2][2]) const {
    if (h_input_scales != nullptr) {
      put_codes(item, terms, block, token, lane, values);
      return;
    }
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (token + i >= item.num_tokens) break;
      float* const to = h + std::size_t{item.first_row + token + i} * intermediate + block * 16 + lane / 4;
      to[0] = values[i][0];
      to[8] = values[i][1];
    }
  }

  __device__ __forceinline__ void put_codes(const Fp4Item& item, const Terms& terms, std::uint32_t block,
                                            std::uint32_t token, std::uint32_t lane,
                                            const float (&values)[2][2]) const {
    const std::uint32_t g = lane / 4;
    std::uint32_t largest[2];
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      largest[i] = max(magnitude_bits(values[i][0]), magnitude_bits(values[i][1]));
#pragma unroll
      for (int step = 4; step < 32; step *= 2) largest[i] = max(largest[i], __shfl_xor_sync(kLanes, largest[i], step));
    }
    // Lanes of even g find the scale of the first token, those of odd g that of the second.
    const std::uint32_t own = g % 2 == 0 ? largest[0] : largest[1];
    const bool is_finite = own < kFloatInfinityBits;
    const BlockScale mine = BlockScale::from_largest(terms.h_scale, __uint_as_float(is_finite ? own : 0U));
    std::uint32_t words[4];  // [token][first, second half of the block]: this lane's code
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      const BlockScale scale = from_lane(mine, lane % 4 + 4 * i);
      std::uint32_t pair = encode_e2m1_pair(scale.code_source(values[i][0]), scale.code_source(values[i][1]));
      if (scale.scale == 0.0F) pair = 0;
      words[2 * i] = (pair & 15U) << 4 * g;
      words[2 * i + 1] = (pair >> 4U) << 4 * g;
    }
    const std::uint32_t word = gather(words, g);
    const std::uint32_t of_token = g / 4;
    const std::uint64_t row = item.first_row + token + of_token;
    if (token + of_token < item.num_tokens && g % 2 == 0) {
      std::uint8_t* const to = codes + Layout::code_offset(code_rows, row, block * 16 + g / 2 % 2 * 8);
      *reinterpret_cast<std::uint32_t*>(to) = word;
    }
    // A block that is not finite makes the token's sums NaN.
    if (g < 2 && token + g < item.num_tokens) {
      put_scale(item.first_row + token + g, block, is_finite ? mine.scale_code() : kE4m3NanMagnitude);
    }
  }

  // What is missing to a multiple of 64 columns gets scales 0.
  __device__ __forceinline__ void put_scale(std::uint64_t row, std::uint32_t block, std::uint8_t scale_code) const {
    std::uint8_t* const to = codes + Layout::scale_offset(code_rows, row, block * 16);
    to[0] = scale_code;
    if ((block + 1) * 16 != intermediate) return;
    for (std::uint32_t i = 1; (block + i) % 4 != 0; ++i) to[i] = 0;
  }

  [[nodiscard]] __device__ __forceinline__ static std::uint32_t magnitude_bits(float value) {
    return __float_as_uint(value) & kFloatMagnitudeMask;
  }
  [[nodiscard]] __device__ __forceinline__ static BlockScale from_lane(const BlockScale& mine, std::uint32_t lane) {
    const int from = static_cast<int>(lane);
    BlockScale scale;
    scale.scale = __shfl_sync(kLanes, mine.scale, from);
    scale.multiplier = __shfl_sync(kLanes, mine.multiplier, from);
    scale.high = __shfl_sync(kLanes, mine.high, from);
    scale.low = __shfl_sync(kLanes, mine.low, from);
    scale.is_exact = __shfl_sync(kLanes, mine.is_exact ? 1U : 0U, from) != 0;
    return scale;
  }
  // Word g / 2 of the four, of all lanes with the same t. Each exchange halves the words that a lane has to do with.
  [[nodiscard]] __device__ __forceinline__ static std::uint32_t gather(const std::uint32_t (&words)[4],
                                                                       std::uint32_t g) {
    const bool is_upper = g >= 4;
    std::uint32_t pair[2];
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      const std::uint32_t sent = is_upper ? words[i] : words[2 + i];
      pair[i] = (is_upper ? words[2 + i] : words[i]) | __shfl_xor_sync(kLanes, sent, 16);
    }
    const bool is_second = g / 2 % 2 != 0;
    std::uint32_t word = is_second ? pair[1] : pair[0];
    word |= __shfl_xor_sync(kLanes, is_second ? pair[0] : pair[1], 8);
    return word | __shfl_xor_sync(kLanes, word, 4);
  }
};

}  // namespace nvfp4::kernels::cuda_sm120
