// One block for a row: its largest magnitude, then its blocks of 16 numbers, one to a thread. Bound: latency.
#include "formats/bf16.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_shared/round_rows.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kThreads = 128;
constexpr std::uint32_t kWarps = kThreads / 32;
constexpr std::uint32_t kNanPair = 0x7FC07FC0U;

struct Block16 {
  float values[kQuantizedBlock];

  __device__ __forceinline__ explicit Block16(const float* from) {
#pragma unroll
    for (std::uint32_t i = 0; i < kQuantizedBlock; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
  }
  // Float32 bits; above those of infinity for NaN.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    std::uint32_t bits = 0;
#pragma unroll
    for (const float value : values) bits = max(bits, __float_as_uint(value) & kFloatMagnitudeMask);
    return bits;
  }
};

__device__ __forceinline__ std::uint32_t largest_of_block(std::uint32_t mine) {
  __shared__ std::uint32_t of_warps[kWarps];
  const std::uint32_t of_warp = __reduce_max_sync(kAllLanes, mine);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = of_warp;
  __syncthreads();
  std::uint32_t largest = 0;
  for (const std::uint32_t bits : of_warps) largest = max(largest, bits);
  return largest;
}

__global__ void __launch_bounds__(kThreads) round_rows_kernel(const __grid_constant__ RoundRows r) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t pair = blockIdx.x;
  const std::int32_t expert = r.expert_ids == nullptr ? 0 : expert_place(r.lookup, r.expert_ids[pair]);
  if (expert < 0) return;
  const float* const from = r.h + std::size_t{pair} * r.num_cols;
  std::uint32_t largest = 0;
  for (std::uint32_t col = threadIdx.x * kQuantizedBlock; col < r.num_cols; col += kThreads * kQuantizedBlock) {
    largest = max(largest, Block16(from + col).largest());
  }
  largest = largest_of_block(largest);
  const bool is_finite = largest < kFloatInfinityBits;
  const RowScale row = r.input_scales == nullptr ? RowScale::from_largest(__uint_as_float(largest))
                                                 : RowScale::from_stored(r.rule, r.input_scales[expert]);
  if (threadIdx.x == 0) r.factors[pair] = row.multiplier();
  for (std::uint32_t col = threadIdx.x * kQuantizedBlock; col < r.num_cols; col += kThreads * kQuantizedBlock) {
    const Block16 block(from + col);
    const BlockScale scale = BlockScale::from_largest(row, __uint_as_float(block.largest()));
    std::uint32_t words[kQuantizedBlock / 2];
#pragma unroll
    for (std::uint32_t i = 0; i < kQuantizedBlock / 2; ++i) {
      const std::uint32_t low = encode_bf16(scale.round(block.values[2 * i]));
      const std::uint32_t high = encode_bf16(scale.round(block.values[2 * i + 1]));
      words[i] = is_finite ? low | high << 16U : kNanPair;
    }
    uint4* const to = reinterpret_cast<uint4*>(r.values + std::size_t{pair} * r.num_cols + col);
    to[0] = {words[0], words[1], words[2], words[3]};
    to[1] = {words[4], words[5], words[6], words[7]};
  }
}

}  // namespace

Status round_rows(const RoundRows& round, DeviceStream stream) {
  const LaunchShape shape{.blocks = round.num_rows, .num_threads = kThreads};
  return launch("round rows", round_rows_kernel, shape, stream, round);
}

}  // namespace nvfp4::kernels
