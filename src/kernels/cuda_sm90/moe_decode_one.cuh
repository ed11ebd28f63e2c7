// What becomes of the sums of linear_decode_one.cuh in a mixture-of-experts layer: moe_decode_sinks.cuh's equations for
// one token.
#pragma once

#include "kernels/cuda_sm90/linear_decode_one.cuh"
#include "kernels/cuda_sm90/moe_decode_sinks.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// With a gate 16 rows are 8 of it and the same 8 of up.
template <bool kGated>
struct OneTokenFc1Sink {
  static constexpr bool kAddsItems = false;
  static constexpr bool kWaitsForIds = true;
  static constexpr bool kCopiesByThreads = true;

  Fc1Sink<kGated> fc1;
  const float* factor = nullptr;        // [1] or null: 1
  const float* pair_factors = nullptr;  // [pairs] or null: 1

  // Of the thread's row of 16.
  struct Early {
    std::uint32_t pair = 0, column = 0;
    std::uint32_t expert = kNoExpert;
    float scale = 0.0F;
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
      if (factor != nullptr) scale *= *factor;
      if (pair_factors != nullptr) scale *= pair_factors[e.pair];
      const float value = (is_there ? block.sum_of(i / 16, i % 16) : 0.0F) * scale;
      const float up = kGated ? __shfl_down_sync(0xFFFFFFFFU, value, 8) : value;
      if (is_there && e.expert != kNoExpert && (!kGated || i % 16 < 8)) {
        fc1.put(e.pair, e.column, apply_gate(fc1.function, value, up));
      }
    }
  }
};

// FC2: block i has rows 16 i of all of the token's experts.
struct OneTokenFc2Sink {
  static constexpr bool kAddsItems = true;
  static constexpr bool kWaitsForIds = false;
  static constexpr bool kCopiesByThreads = true;

  TokenSink fc2;
  const float* factors = nullptr;  // [pairs] of the rows, or null: 1

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
