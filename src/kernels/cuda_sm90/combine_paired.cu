#include <cuda_bf16.h>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_sm90/combine_paired.h"
#include "kernels/cuda_sm90/paired_floats.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kPiece = 8;        // numbers of a thread: 0..3 and 8..11, or 4..7 and 12..15, of 16
constexpr std::uint32_t kSlotsAtOnce = 8;  // rows under way at a time

__device__ __forceinline__ void accumulate(float (&sums)[kPiece], float weight, uint4 four) {
  const std::uint32_t words[kPiece / 2] = {four.x, four.y, four.z, four.w};
#pragma unroll
  for (std::uint32_t i = 0; i < kPiece / 2; ++i) {
    const float scale = weight * unit_of_pair(words[i]);
    const float2 integers = integers_of_pair(words[i]);
    sums[i] = fmaf(scale, integers.x, sums[i]);
    sums[i + kPiece / 2] = fmaf(scale, integers.y, sums[i + kPiece / 2]);
  }
}

__device__ __forceinline__ std::uint32_t pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

__global__ void __launch_bounds__(kThreads) combine_paired_slots(const __grid_constant__ CombinePaired c) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t pieces = c.hidden / kPiece;
  const std::uint64_t index = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const auto token = static_cast<std::uint32_t>(index / pieces);
  const auto piece = static_cast<std::uint32_t>(index % pieces);
  if (token >= c.num_tokens) return;
  const std::uint64_t first_pair = std::uint64_t{token} * c.top_k;
  const auto* from = reinterpret_cast<const std::uint8_t*>(c.paired) + piece * sizeof(uint4);
  const std::uint32_t row_bytes = c.hidden * 2;
  float sums[kPiece] = {};
  for (std::uint32_t first = 0; first < c.top_k; first += kSlotsAtOnce) {
    // Loop by loop, so that the loads of a loop are under way together.
    std::int32_t rows[kSlotsAtOnce];
    uint4 words[kSlotsAtOnce];
    float weights[kSlotsAtOnce];
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      rows[j] = first + j < c.top_k ? c.row_of_pair[first_pair + first + j] : -1;
    }
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      const bool has_weight = c.router_weights != nullptr && first + j < c.top_k;
      weights[j] = has_weight ? c.router_weights[first_pair + first + j] : 1.0F;
    }
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      const std::uint64_t place = std::uint64_t{static_cast<std::uint32_t>(rows[j])} * row_bytes;
      if (rows[j] >= 0) words[j] = __ldcs(reinterpret_cast<const uint4*>(from + place));
    }
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j)
      weights[j] *= rows[j] >= 0 ? c.scales[static_cast<std::uint32_t>(rows[j])] : 0.0F;
#pragma unroll
    for (std::uint32_t j = 0; j < kSlotsAtOnce; ++j) {
      if (rows[j] >= 0) accumulate(sums, weights[j], words[j]);
    }
  }
  const std::uint64_t place = std::uint64_t{token} * c.hidden + piece / 2 * 16 + piece % 2 * 4;
  if (c.shared != nullptr) {
    const float weight = c.shared_weights == nullptr ? 1.0F : c.shared_weights[token];
#pragma unroll
    for (std::uint32_t i = 0; i < kPiece; ++i) {
      sums[i] = fmaf(weight, c.shared[place + i % 4 + i / 4 * 8], sums[i]);
    }
  }
  *reinterpret_cast<uint2*>(c.y + place) = {pack(sums[0], sums[1]), pack(sums[2], sums[3])};
  *reinterpret_cast<uint2*>(c.y + place + 8) = {pack(sums[4], sums[5]), pack(sums[6], sums[7])};
}

}  // namespace

Status combine_paired(const CombinePaired& combine, DeviceStream stream) {
  const std::uint64_t num_pieces = std::uint64_t{combine.num_tokens} * (combine.hidden / kPiece);
  const LaunchShape shape{.blocks = static_cast<std::uint32_t>((num_pieces + kThreads - 1) / kThreads),
                          .num_threads = kThreads};
  return launch("combine paired partial results", combine_paired_slots, shape, stream, combine);
}

}  // namespace nvfp4::kernels::cuda_sm90
