// What becomes of the sums of linear_decode_block.cuh in a mixture-of-experts layer.
//
//   FC1   h[m, i] = act(gate, up), each sum * 2^8 * scale2 * factor; rounded to BF16, or not
//   FC2   partial[m, n] = sum * 2^8 * scale2 * factor; for few tokens at once
//         y[t, n] = round(sum_j w[t, j] * partial[(t, j), n] + g[t] * shared[t, n]), as combine_experts() computes it
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda_shared/expert_function.cuh"
#include "kernels/cuda_sm90/linear_decode_block.cuh"
#include "kernels/cuda_sm90/moe_decode_choice.h"

namespace nvfp4::kernels::cuda_sm90 {

// FC1. With a gate a row group has 8 of its rows and the same 8 of up.
template <bool kGated>
struct Fc1Sink {
  static constexpr bool kOneRowGroup = false;
  static constexpr bool kSharedByTwo = true;  // two warps may share an item
  static constexpr DecodeIds kIds = DecodeIds::kAny;
  static constexpr bool kRowsArePairs = false;
  [[nodiscard]] __device__ __forceinline__ bool ids_are_early() const { return knows_ids; }

  Bf16Bits* h = nullptr;                // [pairs, I], or
  float* h_f32 = nullptr;               // likewise
  std::int32_t* row_of_pair = nullptr;  // [pairs]: the pair, or -1 where its expert is not here; may be null
  std::uint32_t intermediate = 0;
  const float* gate_scale2 = nullptr;
  const float* up_scale2 = nullptr;
  ExpertFunctionParameters function;
  bool knows_ids = false;  // they were there before the kernel ahead began, or there are none

  struct Scales {
    float gate, up;
  };
  // Only loaded: to compute with them here is to wait behind all weights that have been asked for.
  __device__ __forceinline__ Scales scales(std::uint32_t expert) const {
    return {kGated ? gate_scale2[expert] : 0.0F, up_scale2[expert]};
  }
  struct Early {};
  __device__ __forceinline__ Early early(const DecodeCall& /*call*/) const { return {}; }
  __device__ __forceinline__ void begin(const DecodeCall& call, std::uint8_t* /*results*/, const Early& /*early*/,
                                        std::uint32_t /*own_expert*/) const {
    if (row_of_pair == nullptr || blockIdx.x != 0) return;
    for (std::uint32_t pair = threadIdx.x; pair < call.pairs.num_pairs; pair += blockDim.x) {
      row_of_pair[pair] = expert_of(call.pairs, pair) == kNoExpert ? -1 : static_cast<std::int32_t>(pair);
    }
  }
  __device__ __forceinline__ void put(std::uint32_t member, std::uint32_t column, float value) const {
    const std::size_t place = std::size_t{member} * intermediate + column;
    if (h_f32 != nullptr) {
      h_f32[place] = value;
    } else {
      h[place] = __bfloat16_as_ushort(__float2bfloat16_rn(value));
    }
  }
  template <std::uint32_t kColumns>
  __device__ __forceinline__ void store(const SumColumns<kColumns>& columns, const Scales& scale,
                                        std::uint32_t row_group, const float4 (&totals)[kColumns],
                                        std::uint8_t* /*results*/) const {
    const std::uint32_t g = threadIdx.x % 32 / 4;
    const float gate_unit = scale.gate * kFragmentUnit;
    const float up_unit = scale.up * kFragmentUnit;
    for_each_sum(columns, totals, [&](std::uint32_t member, float factor, float first, float second) {
      if constexpr (kGated) {
        put(member, row_group * 8 + g, apply_gate(function, first * gate_unit * factor, second * up_unit * factor));
      } else {
        put(member, row_group * 16 + g, apply_gate(function, 0.0F, first * up_unit * factor));
        put(member, row_group * 16 + g + 8, apply_gate(function, 0.0F, second * up_unit * factor));
      }
    });
  }
  __device__ __forceinline__ void end(const DecodeCall& /*call*/, std::uint8_t* /*results*/) const {}
};

// FC2 for combine_experts().
struct PartialSink {
  static constexpr bool kOneRowGroup = false;
  static constexpr bool kSharedByTwo = false;
  static constexpr DecodeIds kIds = DecodeIds::kAny;
  static constexpr bool kRowsArePairs = true;
  [[nodiscard]] static constexpr __device__ bool ids_are_early() { return true; }

  float* partial = nullptr;  // [pairs, H]
  std::uint32_t hidden = 0;
  const float* down_scale2 = nullptr;

  using Scales = float;
  __device__ __forceinline__ Scales scales(std::uint32_t expert) const { return down_scale2[expert]; }
  struct Early {};
  __device__ __forceinline__ Early early(const DecodeCall& /*call*/) const { return {}; }
  __device__ __forceinline__ void begin(const DecodeCall& /*call*/, std::uint8_t* /*results*/, const Early& /*early*/,
                                        std::uint32_t /*own_expert*/) const {}
  template <std::uint32_t kColumns>
  __device__ __forceinline__ void store(const SumColumns<kColumns>& columns, Scales scale, std::uint32_t row_group,
                                        const float4 (&totals)[kColumns], std::uint8_t* /*results*/) const {
    const std::uint32_t g = threadIdx.x % 32 / 4;
    const float unit = scale * kFragmentUnit;
    for_each_sum(columns, totals, [&](std::uint32_t member, float factor, float first, float second) {
      float* const to = partial + std::size_t{member} * hidden + row_group * 16 + g;
      to[0] = first * unit * factor;
      to[8] = second * unit * factor;
    });
  }
  __device__ __forceinline__ void end(const DecodeCall& /*call*/, std::uint8_t* /*results*/) const {}
};

// FC2 of so few tokens that a block holds the sums of its 16 rows for all pairs: no second pass over them.
struct TokenSink {
  static constexpr bool kOneRowGroup = true;
  static constexpr DecodeIds kIds = DecodeIds::kOfFew;
  static constexpr bool kRowsArePairs = true;
  [[nodiscard]] static constexpr __device__ bool ids_are_early() { return true; }
  static constexpr std::uint32_t kRows = kTokenSumRows;

  Bf16Bits* y = nullptr;  // [T, H]
  std::uint32_t hidden = 0;
  std::uint32_t num_tokens = 0;
  std::uint32_t top_k = 0;
  const float* down_scale2 = nullptr;
  const float* router_weights = nullptr;  // [T, k]; null: 1
  const float* shared_partial = nullptr;  // [T, H] or null
  const float* shared_weights = nullptr;  // [T]; null: 1

  // In shared memory: the sums, float32 [pairs][16], and what they are added up with.
  struct Slot {
    float weight;
    bool is_here;
  };
  static_assert(sizeof(Slot) == kTokenSumSlotBytes);
  [[nodiscard]] __device__ __forceinline__ static Slot* slots(const DecodeCall& call, std::uint8_t* results) {
    return reinterpret_cast<Slot*>(results + call.pairs.num_pairs * kRows * 4);
  }

  using Scales = float;
  __device__ __forceinline__ Scales scales(std::uint32_t expert) const { return down_scale2[expert]; }
  // The weight of the lane's pair, loaded with its id: behind the weights of matrices it would be late.
  using Early = float;
  __device__ __forceinline__ Early early(const DecodeCall& call) const {
    const std::uint32_t pair = threadIdx.x % 32;
    return router_weights == nullptr || pair >= call.pairs.num_pairs ? 1.0F : router_weights[pair];
  }
  __device__ __forceinline__ void begin(const DecodeCall& call, std::uint8_t* results, Early weight,
                                        std::uint32_t own_expert) const {
    // By the second warp: the first lists the pairs meanwhile.
    const std::uint32_t pair = threadIdx.x - 32;
    if (pair < call.pairs.num_pairs) slots(call, results)[pair] = {weight, own_expert != kNoExpert};
  }
  template <std::uint32_t kColumns>
  __device__ __forceinline__ void store(const SumColumns<kColumns>& columns, Scales scale, std::uint32_t /*row_group*/,
                                        const float4 (&totals)[kColumns], std::uint8_t* results) const {
    const std::uint32_t g = threadIdx.x % 32 / 4;
    const float unit = scale * kFragmentUnit;
    for_each_sum(columns, totals, [&](std::uint32_t member, float factor, float first, float second) {
      float* const to = reinterpret_cast<float*>(results) + member * kRows + g;
      to[0] = first * unit * factor;
      to[8] = second * unit * factor;
    });
  }
  __device__ __forceinline__ void end(const DecodeCall& call, std::uint8_t* results) const {
    __syncthreads();
    for (std::uint32_t i = threadIdx.x; i < num_tokens * kRows; i += blockDim.x) {
      const std::uint32_t token = i / kRows;
      const float* from = reinterpret_cast<const float*>(results) + token * top_k * kRows + i % kRows;
      const Slot* slot = slots(call, results) + token * top_k;
      float sum = 0.0F;
#pragma unroll 4
      for (std::uint32_t j = 0; j < top_k; ++j) {
        if (slot[j].is_here) sum = __fmaf_rn(slot[j].weight, from[j * kRows], sum);
      }
      const std::size_t place = std::size_t{token} * hidden + blockIdx.x * kRows + i % kRows;
      if (shared_partial != nullptr) {
        sum = __fmaf_rn(shared_weights == nullptr ? 1.0F : shared_weights[token], shared_partial[place], sum);
      }
      y[place] = __bfloat16_as_ushort(__float2bfloat16_rn(sum));
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
