// What kernels that quantise rows have in common: where a row comes from, its numbers, and its largest one.
#pragma once

#include "formats/bf16.h"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {

using Words = std::uint32_t[8];  // 16 BF16 numbers

__device__ __forceinline__ void load_words(const Bf16Bits* from, Words& words) {
  const uint4 first = reinterpret_cast<const uint4*>(from)[0];
  const uint4 second = reinterpret_cast<const uint4*>(from)[1];
  words[0] = first.x, words[1] = first.y, words[2] = first.z, words[3] = first.w;
  words[4] = second.x, words[5] = second.y, words[6] = second.z, words[7] = second.w;
}
__device__ __forceinline__ void store_words(const Words& words, Bf16Bits* to) {
  reinterpret_cast<uint4*>(to)[0] = {words[0], words[1], words[2], words[3]};
  reinterpret_cast<uint4*>(to)[1] = {words[4], words[5], words[6], words[7]};
}

__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  return encode_bf16(low) | static_cast<std::uint32_t>(encode_bf16(high)) << 16U;
}
__device__ __forceinline__ float low_bf16(std::uint32_t word) { return __uint_as_float(word << 16U); }
__device__ __forceinline__ float high_bf16(std::uint32_t word) { return __uint_as_float(word & 0xFFFF0000U); }

// Where a row comes from.
struct Source {
  std::int32_t pair = 0;  // -1: the row is none
  std::uint32_t token = 0;
  float input_scale = 1.0F;
};
__device__ __forceinline__ Source source_of(const QuantizeActivations& q, std::uint32_t row) {
  Source source{static_cast<std::int32_t>(row), row, q.input_scale};
  if (q.pair_of_row != nullptr) {
    source.pair = q.pair_of_row[row];
    if (source.pair < 0) return source;
    source.token = static_cast<std::uint32_t>(source.pair) / q.top_k;
  }
  if (q.input_scales == nullptr) return source;
  const std::int32_t place = q.expert_ids == nullptr ? 0 : expert_place(q.lookup, q.expert_ids[source.pair]);
  source.input_scale = q.input_scales[place < 0 ? 0 : place];
  return source;
}

// Largest of the numbers of a row's threads, which all call it.
template <std::uint32_t kThreads>
__device__ __forceinline__ std::uint32_t largest_of_row(std::uint32_t mine) {
  const std::uint32_t of_warp = __reduce_max_sync(kAllLanes, mine);
  if constexpr (kThreads == 32) return of_warp;
  __shared__ std::uint32_t of_warps[kThreads / 32];
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = of_warp;
  __syncthreads();
  const std::uint32_t lane = threadIdx.x % 32;
  return __reduce_max_sync(kAllLanes, lane < kThreads / 32 ? of_warps[lane] : 0U);
}

// 16 values as they go into the rounding: words, or float32 where a factor made them so.
struct PlainValues {
  static constexpr bool kIsSmall = true;
  Words words;

  __device__ __forceinline__ void load(const QuantizeActivations& q, const Source& source, std::uint32_t k) {
    load_words(q.x + std::size_t{source.token} * q.in_features + k, words);
  }
  // Float32 bits.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    return largest_magnitude_bits(words) << 16U;
  }
  __device__ __forceinline__ void round_to_nvfp4(const RowScale& row, Words& out) const {
    round_block(row, __uint_as_float(largest()), words, out);
  }
  [[nodiscard]] __device__ __forceinline__ float value(std::uint32_t i) const {
    return i % 2 == 0 ? low_bf16(words[i / 2]) : high_bf16(words[i / 2]);
  }
};

struct ScaledValues {
  static constexpr bool kIsSmall = false;
  float values[kQuantizedBlock];

  __device__ __forceinline__ void load(const QuantizeActivations& q, const Source& source, std::uint32_t k) {
    PlainValues plain;
    plain.load(q, source, k);
    const float weight = q.router_weights == nullptr ? 1.0F : q.router_weights[source.pair];
#pragma unroll
    for (std::uint32_t i = 0; i < kQuantizedBlock; ++i) {
      values[i] = plain.value(i);
      if (q.pre_quant_scale != nullptr) values[i] = round_to_bf16(rounded_product(values[i], q.pre_quant_scale[k + i]));
      if (q.router_weights != nullptr) values[i] = rounded_product(values[i], weight);
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    std::uint32_t bits = 0;
#pragma unroll
    for (const float value : values) bits = max(bits, __float_as_uint(value) & kFloatMagnitudeMask);
    return bits;
  }
  __device__ __forceinline__ void round_to_nvfp4(const RowScale& row, Words& out) const {
    const BlockScale block = BlockScale::from_largest(row, __uint_as_float(largest()));
#pragma unroll
    for (std::uint32_t i = 0; i < 8; ++i)
      out[i] = pack_bf16(block.round(values[2 * i]), block.round(values[2 * i + 1]));
  }
  [[nodiscard]] __device__ __forceinline__ float value(std::uint32_t i) const { return values[i]; }
};

}  // namespace nvfp4::kernels
