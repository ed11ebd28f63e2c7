// FC2 of experts: partial[r, n] = sum * scale2 * factor, for combine_experts().
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_sm120/fp4_items.cuh"

namespace nvfp4::kernels::cuda_sm120 {

struct ExpertDown {
  const float* scale2 = nullptr;  // [E]
  // Of h: one for each expert, or one for each sorted row.
  const float* input_scales = nullptr;  // [E] NVFP4 scales, or null
  QuantizerRule rule = QuantizerRule::kModelOpt;
  const float* factors = nullptr;  // [rows] or null
  float* partial = nullptr;        // [rows, H]
  std::uint32_t hidden = 0;        // H

  using Terms = float;
  [[nodiscard]] __device__ __forceinline__ Terms terms(const Fp4Item& item, std::uint32_t /*first_group*/,
                                                       std::uint32_t /*lane*/) const {
    const float of_h =
        input_scales == nullptr ? 1.0F : RowScale::from_stored(rule, input_scales[item.expert]).multiplier();
    return scale2[item.expert] * of_h;
  }

  __device__ __forceinline__ void put(const Fp4Item& item, Terms scale, std::uint32_t first_group,
                                      std::uint32_t num_groups, std::uint32_t first_token, std::uint32_t lane,
                                      float (&low)[4], float (&high)[4]) const {
    const std::uint32_t token = first_token + lane % 4 * 2;
#pragma unroll
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (token + i >= item.num_tokens) break;
      const std::size_t row = item.first_row + token + i;
      const float factor = factors == nullptr ? scale : scale * factors[row];
      float* const to = partial + row * hidden + first_group * 16 + lane / 4;
      to[0] = low[i] * factor;
      to[8] = low[2 + i] * factor;
      if (num_groups < 2) continue;
      to[16] = high[i] * factor;
      to[24] = high[2 + i] * factor;
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm120
