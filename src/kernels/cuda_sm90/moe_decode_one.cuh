// What becomes of the sums of linear_decode_one.cuh in a mixture-of-experts layer: moe_decode_sinks.cuh's equations for
// one token.
#pragma once

#include "kernels/cuda_sm90/linear_decode_one.cuh"
#include "kernels/cuda_sm90/moe_decode_sinks.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// With a gate 16 rows are 8 of it and the same 8 of up. kRounds: x and h to NVFP4 under static scales, one for x and
// one of each expert for h; with a gate two items, which have a block of h, stay together.
template <bool kGated, bool kRounds>
struct OneTokenFc1Sink {
  static constexpr bool kRoundsRow = kRounds;
  static constexpr bool kAddsItems = false;
  static constexpr bool kWaitsForIds = true;
  static constexpr bool kCopiesByThreads = true;

  Fc1Sink<kGated> fc1;
  const float* factor = nullptr;        // [1] or null: 1
  const float* pair_factors = nullptr;  // [pairs] or null: 1
  const float* x_scale = nullptr;       // [1] as the producer stores it; kRounds
  const float* h_scales = nullptr;      // [E]
  QuantizerRule rule = QuantizerRule::kModelOpt;

  __device__ __forceinline__ RowScale row_scale() const { return RowScale::from_stored(rule, *x_scale); }

  // Of the thread's row of 16.
  struct Early {
    std::uint32_t pair = 0, column = 0;
    std::uint32_t expert = kNoExpert;
    float scale = 0.0F;
    float x_scale = 1.0F, h_scale = 1.0F;  // kRounds
  };
  template <class Block>
  __device__ __forceinline__ Early early(const Block& block, std::uint32_t first) const {
    const std::uint32_t index = first + threadIdx.x / 16;
    const std::uint32_t row = threadIdx.x % 16;
    Early early;
    const auto item = block.item_of(min(index, block.num_items() - 1));
    early.pair = item.pair;
    early.column = item.row_group * (kGated ? 8 : 16) + row;
    early.expert = block.expert_of_pair(item.pair);
    return early;
  }
  template <class Block>
  __device__ __forceinline__ void look_up(const Block& /*block*/, Early& early) const {
    if (early.expert == kNoExpert) return;
    const bool is_gate = kGated && threadIdx.x % 16 < 8;
    early.scale = (is_gate ? fc1.gate_scale2 : fc1.up_scale2)[early.expert];  // nothing waits for it here
    if constexpr (kRounds) {
      early.x_scale = *x_scale;
      early.h_scale = h_scales[early.expert];
    }
  }
  template <class Block>
  __device__ __forceinline__ void finish(const Block& block, std::uint32_t first, std::uint32_t num,
                                         const Early& early) const {
    Early e = early;
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i / 32 * 32 < num * 16; i += blockDim.x) {
      if (i != threadIdx.x) {
        e = this->early(block, first + (i - threadIdx.x) / 16);
        look_up(block, e);
      }
      const bool is_there = i < num * 16;
      float scale = e.scale * kFragmentUnit;
      if constexpr (kRounds) scale *= RowScale::from_stored(rule, e.x_scale).multiplier();
      if (factor != nullptr) scale *= *factor;
      if (pair_factors != nullptr) scale *= pair_factors[e.pair];
      const float value = (is_there ? block.sum_of(i / 16, i % 16) : 0.0F) * scale;
      const float up = kGated ? __shfl_down_sync(0xFFFFFFFFU, value, 8) : value;
      const bool is_mine = is_there && e.expert != kNoExpert && (!kGated || i % 16 < 8);
      if constexpr (kRounds) {
        const float h = is_mine ? apply_gate(fc1.function, value, up) : 0.0F;
        const Bf16Bits rounded = round_in_warp<!kGated>(h, RowScale::from_stored(rule, e.h_scale));
        if (is_mine) fc1.h[std::size_t{e.pair} * fc1.intermediate + e.column] = rounded;
      } else if (is_mine) {
        fc1.put(e.pair, e.column, apply_gate(fc1.function, value, up));
      }
    }
  }
};

// FC2: block i has rows 16 i of all of the token's experts.
struct OneTokenFc2Sink {
  static constexpr bool kRoundsRow = false;
  static constexpr bool kAddsItems = true;
  static constexpr bool kWaitsForIds = false;
  static constexpr bool kCopiesByThreads = false;

  TokenSink fc2;
  const float* factors = nullptr;   // [pairs] of the rows, or null: 1
  const float* h_scales = nullptr;  // [E] of the rows, as the producer stores them, or null: 1
  QuantizerRule rule = QuantizerRule::kModelOpt;

  // Lane i has what the warp's turn i is multiplied with, and row i % 16 what is added besides.
  struct Early {
    std::uint32_t pair = 0;
    std::uint32_t expert = kNoExpert;
    float factor = 0.0F;
    float shared = 0.0F;
  };
  template <class Block>
  __device__ __forceinline__ Early early(const Block& block, std::uint32_t /*first*/) const {
    Early early;
    early.pair = min(block.pair_of_turn(threadIdx.x % 32), block.num_items() - 1);
    early.expert = block.expert_of_pair(early.pair);
    return early;
  }
  template <class Block>
  __device__ __forceinline__ void look_up(const Block& /*block*/, Early& early) const {
    if (early.expert != kNoExpert) {
      early.factor = fc2.down_scale2[early.expert] * kFragmentUnit;
      if (fc2.router_weights != nullptr) early.factor *= fc2.router_weights[early.pair];
      if (h_scales != nullptr) early.factor *= RowScale::from_stored(rule, h_scales[early.expert]).multiplier();
    }
    if (threadIdx.x >= 16 || fc2.shared_partial == nullptr) return;
    early.shared = fc2.shared_partial[blockIdx.x * 16 + threadIdx.x];
    if (fc2.shared_weights != nullptr) early.shared *= *fc2.shared_weights;
  }
  // What the kernel just ahead has written.
  template <class Block>
  __device__ __forceinline__ void look_up_late(const Block& /*block*/, Early& early) const {
    if (factors != nullptr && early.expert != kNoExpert) early.factor *= factors[early.pair];
  }
  template <class Block>
  __device__ __forceinline__ void finish(const Block& block, const Early& early) const {
    if (threadIdx.x >= 16) return;
    const float sum = block.sum_of_warps(threadIdx.x) + early.shared;
    fc2.y[blockIdx.x * 16 + threadIdx.x] = __bfloat16_as_ushort(__float2bfloat16_rn(sum));
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
