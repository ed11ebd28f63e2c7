// One warp for a row. Bound: memory, or latency for few rows.
#include <algorithm>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_sm90/gather_columns.h"
#include "kernels/cuda_sm90/wgmma_ring.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kWarps = 8;
constexpr std::uint32_t kPieceNumbers = 8;  // 16 bytes
constexpr std::uint32_t kPiecesAtOnce = 8;  // of a lane

// The expert of a sorted row: offsets[expert] <= row < offsets[expert + 1].
__device__ __forceinline__ std::uint32_t expert_of_row(const std::uint32_t* offsets, std::uint32_t num_experts,
                                                       std::uint32_t row) {
  std::uint32_t low = 0;
  std::uint32_t high = num_experts;
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

__device__ __forceinline__ uint4* place_of(const GatherColumns& g, std::uint64_t image_row, std::uint32_t piece) {
  const std::uint64_t line = piece / 8 * g.image_rows + image_row;
  return reinterpret_cast<uint4*>(g.image + line * kColumnBytes) + (piece ^ image_row) % 8;
}

__device__ __forceinline__ void copy_row(const GatherColumns& g, std::uint32_t row, std::uint64_t image_row) {
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t from_row =
      g.pair_of_row == nullptr ? row : static_cast<std::uint32_t>(g.pair_of_row[row]) / g.pairs_per_row;
  const Bf16Bits* const from = g.x + std::uint64_t{from_row} * g.in_features;
  const std::uint32_t num_pieces = (g.in_features + 63) / 64 * 8;
  for (std::uint32_t first = lane; first < num_pieces; first += 32 * kPiecesAtOnce) {
    uint4 pieces[kPiecesAtOnce];
#pragma unroll
    for (std::uint32_t i = 0; i < kPiecesAtOnce; ++i) {
      const std::uint32_t column = (first + 32 * i) * kPieceNumbers;
      pieces[i] = {0, 0, 0, 0};
      if (column < g.in_features) pieces[i] = *reinterpret_cast<const uint4*>(from + column);
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kPiecesAtOnce; ++i) {
      if (first + 32 * i < num_pieces) *place_of(g, image_row, first + 32 * i) = pieces[i];
    }
  }
}

__device__ __forceinline__ void clear_row(const GatherColumns& g, std::uint64_t image_row) {
  const std::uint32_t num_pieces = (g.in_features + 63) / 64 * 8;
  for (std::uint32_t piece = threadIdx.x % 32; piece < num_pieces; piece += 32) {
    *place_of(g, image_row, piece) = {0, 0, 0, 0};
  }
}

__global__ void __launch_bounds__(32 * kWarps) gather_kernel(const __grid_constant__ GatherColumns g) {
  __shared__ std::uint32_t offsets[kMaxMapExperts + 1];
  wait_for_earlier_kernels();
  let_next_kernel_start();  // it may read the offsets at once: the kernel that wrote them has ended
  for (std::uint32_t expert = threadIdx.x; expert <= g.num_experts; expert += blockDim.x) {
    offsets[expert] = g.offsets != nullptr ? static_cast<std::uint32_t>(g.offsets[expert]) : expert * g.num_rows;
  }
  __syncthreads();
  const std::uint32_t row = blockIdx.x * kWarps + threadIdx.x / 32;
  if (row >= offsets[g.num_experts]) return;
  const std::uint32_t expert = expert_of_row(offsets, g.num_experts, row);
  const std::uint32_t begin = offsets[expert];
  std::uint64_t image_row = first_image_row(begin, expert) + (row - begin);
  copy_row(g, row, image_row);
  if (row + 1 != offsets[expert + 1]) return;
  while (++image_row % 8 != 0) clear_row(g, image_row);
}

}  // namespace

Status gather_columns(const GatherColumns& gather, DeviceStream stream) {
  const LaunchShape shape{.blocks = (gather.num_rows + kWarps - 1) / kWarps, .num_threads = 32 * kWarps};
  return launch("gather rows", gather_kernel, shape, stream, gather);
}

}  // namespace nvfp4::kernels::cuda_sm90
