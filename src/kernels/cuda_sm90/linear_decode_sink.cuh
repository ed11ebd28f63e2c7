// What becomes of the sums of linear_decode_block.cuh in a linear layer: y[t, n] = round(sum * 2^8 * scale2 * factor +
// bias[n]), scale2 that of the row's shard.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/contract/device_linear.h"
#include "kernels/cuda_sm90/linear_decode_block.cuh"
#include "kernels/cuda_sm90/linear_decode_one.cuh"

namespace nvfp4::kernels::cuda_sm90 {

struct LinearSink {
  static constexpr bool kOneRowGroup = false;
  static constexpr DecodeIds kIds = DecodeIds::kNone;
  static constexpr bool kRowsArePairs = true;
  [[nodiscard]] static constexpr __device__ bool ids_are_early() { return true; }

  void* y = nullptr;  // [T, N]
  bool is_f32 = false;
  std::uint32_t num_features = 0;  // N
  DeviceShardScales shards;
  const float* bias = nullptr;  // [N] or null

  struct Scales {};
  __device__ __forceinline__ Scales scales(std::uint32_t /*expert*/) const { return {}; }
  struct Early {};
  __device__ __forceinline__ Early early(const DecodeCall& /*call*/) const { return {}; }
  __device__ __forceinline__ void begin(const DecodeCall& /*call*/, std::uint8_t* /*results*/, const Early& /*early*/,
                                        std::uint32_t /*own_expert*/) const {}
  __device__ __forceinline__ void end(const DecodeCall& /*call*/, std::uint8_t* /*results*/) const {}

  __device__ __forceinline__ float scale_of(std::uint32_t feature) const {
    float scale = shards.scale2[0];
#pragma unroll
    for (std::uint32_t i = 1; i < kMaxDeviceShards; ++i) {
      if (i < shards.count && feature >= shards.end_rows[i - 1]) scale = shards.scale2[i];
    }
    return scale * kFragmentUnit;
  }
  __device__ __forceinline__ void put(std::uint32_t token, std::uint32_t feature, float value) const {
    const std::size_t place = std::size_t{token} * num_features + feature;
    if (is_f32) {
      static_cast<float*>(y)[place] = value;
    } else {
      static_cast<Bf16Bits*>(y)[place] = __bfloat16_as_ushort(__float2bfloat16_rn(value));
    }
  }
  template <std::uint32_t kColumns>
  __device__ __forceinline__ void store(const SumColumns<kColumns>& columns, const Scales& /*scales*/,
                                        std::uint32_t row_group, const float4 (&totals)[kColumns],
                                        std::uint8_t* /*results*/) const {
#pragma unroll
    for (std::uint32_t half = 0; half < 2; ++half) {
      const std::uint32_t feature = row_group * 16 + half * 8 + threadIdx.x % 32 / 4;
      if (feature >= num_features) continue;
      const float scale = scale_of(feature);
      const float offset = bias == nullptr ? 0.0F : bias[feature];
      for_each_sum(columns, totals, [&](std::uint32_t token, float factor, float first, float second) {
        put(token, feature, (half == 0 ? first : second) * scale * factor + offset);
      });
    }
  }
};

// The same for the blocks of linear_decode_one.cuh. kRounds: x to NVFP4 under a static scale.
template <bool kRounds>
struct OneTokenLinearSink {
  static constexpr bool kRoundsRow = kRounds;
  static constexpr bool kAddsItems = false;
  static constexpr bool kWaitsForIds = false;
  static constexpr bool kCopiesByThreads = false;

  LinearSink linear;
  const float* factor = nullptr;  // [1] or null: 1
  float x_scale = 1.0F;           // as the producer stores it
  QuantizerRule rule = QuantizerRule::kModelOpt;

  __device__ __forceinline__ RowScale row_scale() const { return RowScale::from_stored(rule, x_scale); }

  // Of the thread's row of 16.
  struct Early {
    std::uint32_t feature = 0;
    float scale = 0.0F, offset = 0.0F;
    float x_factor = 1.0F;
  };
  template <class Block>
  __device__ __forceinline__ Early early(const Block& block, std::uint32_t first) const {
    Early early;
    const std::uint32_t index = first + threadIdx.x / 16;
    early.feature = index < block.num_items() ? block.item_of(index).row_group * 16 + threadIdx.x % 16 : ~0U;
    if (early.feature >= linear.num_features) return early;
    early.scale = linear.scale_of(early.feature);
    if (linear.bias != nullptr) early.offset = linear.bias[early.feature];
    return early;
  }
  template <class Block>
  __device__ __forceinline__ void look_up(const Block& /*block*/, Early& /*early*/) const {}
  // What the kernel just ahead has written.
  template <class Block>
  __device__ __forceinline__ void look_up_late(const Block& /*block*/, Early& early) const {
    if (kRounds) {
      early.x_factor = row_scale().multiplier();
    } else if (factor != nullptr) {
      early.x_factor = *factor;
    }
  }
  template <class Block>
  __device__ __forceinline__ void finish(const Block& block, std::uint32_t first, std::uint32_t num,
                                         const Early& early) const {
    for (std::uint32_t i = threadIdx.x; i < num * 16; i += blockDim.x) {
      Early e = early;
      if (i != threadIdx.x) {
        e = this->early(block, first + (i - threadIdx.x) / 16);
        look_up_late(block, e);
      }
      const float sum = block.sum_of(i / 16, i % 16) * e.scale;
      if (e.feature < linear.num_features) {
        linear.put(0, e.feature, __fmaf_rn(sum, e.x_factor, e.offset));
      }
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
