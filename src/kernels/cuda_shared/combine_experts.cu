#include <cuda_bf16.h>

#include "kernels/cuda_shared/combine_experts.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/shared_carveout.h"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kLaneColumns = 4;
constexpr std::uint32_t kWarpColumns = 32 * kLaneColumns;
constexpr std::uint32_t kSlotsAtOnce = 8;  // rows under way at a time
constexpr std::uint32_t kLanes = 0xFFFFFFFFU;

__device__ __forceinline__ float4 load_four(const float* from) { return *reinterpret_cast<const float4*>(from); }

__device__ __forceinline__ void accumulate(float4& sum, float weight, const float4& values) {
  sum.x = __fmaf_rn(weight, values.x, sum.x);
  sum.y = __fmaf_rn(weight, values.y, sum.y);
  sum.z = __fmaf_rn(weight, values.z, sum.z);
  sum.w = __fmaf_rn(weight, values.w, sum.w);
}

// A warp for 128 columns of a token. Lane j knows slot j.
__global__ void __launch_bounds__(kThreads, 4) combine_slots(CombineExperts c) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warps_per_token = (c.hidden + kWarpColumns - 1) / kWarpColumns;
  const std::uint32_t warp = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  const std::uint32_t token = warp / warps_per_token;
  if (token >= c.num_tokens) return;
  const std::uint32_t column = warp % warps_per_token * kWarpColumns + lane * kLaneColumns;
  const bool has_column = column < c.hidden;

  std::int32_t my_row = -1;
  float my_weight = 1.0F;
  if (lane < c.top_k) {
    my_row = c.row_of_pair[token * c.top_k + lane];
    if (c.router_weights != nullptr) my_weight = c.router_weights[token * c.top_k + lane];
  }
  float4 sum = {0.0F, 0.0F, 0.0F, 0.0F};
  for (std::uint32_t first = 0; first < c.top_k; first += kSlotsAtOnce) {
    float4 values[kSlotsAtOnce];
    std::int32_t rows[kSlotsAtOnce];
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      rows[j] = __shfl_sync(kLanes, my_row, static_cast<int>(first + j));  // lanes from top_k on have -1
      if (rows[j] < 0 || !has_column) continue;
      values[j] = load_four(c.partial + static_cast<std::size_t>(rows[j]) * c.hidden + column);
    }
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      const float weight = __shfl_sync(kLanes, my_weight, static_cast<int>(first + j));
      if (rows[j] >= 0) accumulate(sum, weight, values[j]);
    }
  }
  if (!has_column) return;
  const std::size_t place = std::size_t{token} * c.hidden + column;
  if (c.shared != nullptr) {
    const float weight = c.shared_weights == nullptr ? 1.0F : c.shared_weights[token];
    accumulate(sum, weight, load_four(c.shared + place));
  }
  __nv_bfloat162 out[2] = {__floats2bfloat162_rn(sum.x, sum.y), __floats2bfloat162_rn(sum.z, sum.w)};
  *reinterpret_cast<uint2*>(c.y + place) = *reinterpret_cast<const uint2*>(out);
}

}  // namespace

Status let_combine_overlap() { return take_all_as_shared_memory("combine experts", combine_slots); }

Status combine_experts(const CombineExperts& combine, DeviceStream stream) {
  const std::uint64_t warps_per_token = (combine.hidden + kWarpColumns - 1) / kWarpColumns;
  const std::uint64_t num_warps = combine.num_tokens * warps_per_token;
  const LaunchShape shape{.blocks = static_cast<std::uint32_t>((num_warps + kThreads / 32 - 1) / (kThreads / 32)),
                          .num_threads = kThreads};
  return launch("combine experts", combine_slots, shape, stream, combine);
}

}  // namespace nvfp4::kernels
