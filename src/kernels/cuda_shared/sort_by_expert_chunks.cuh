// Sorting many pairs by expert: chunks of tokens are counted by one kernel (a router may do it as it goes), and placed
// by the next, which adds up the counts of all chunks.
#pragma once

#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"
#include "kernels/cuda_shared/sort_by_expert_sizes.h"

namespace nvfp4::kernels {

struct Chunk {
  std::uint32_t first_pair, num_pairs;
};
__device__ __forceinline__ Chunk chunk_of(std::uint32_t num_tokens, std::uint32_t top_k, std::uint32_t chunk_idx) {
  const std::uint32_t first = chunk_idx * tokens_per_chunk(num_tokens);
  const std::uint32_t end = min(first + tokens_per_chunk(num_tokens), num_tokens);
  return {first * top_k, (end - first) * top_k};
}

// counts is shared memory [kMaxMoeExperts]; all threads of a block, whose index is the chunk's.
__device__ __forceinline__ void zero_chunk_counts(std::uint32_t num_experts, std::uint32_t* counts) {
  for (std::uint32_t e = threadIdx.x; e <= num_experts && e < kMaxMoeExperts; e += blockDim.x) counts[e] = 0;
  __syncthreads();
}
__device__ __forceinline__ void store_chunk_counts(std::uint32_t num_experts, const std::uint32_t* counts,
                                                   std::uint16_t* chunk_counts) {
  auto* const words = reinterpret_cast<std::uint32_t*>(chunk_counts + blockIdx.x * chunk_stride(num_experts));
  for (std::uint32_t i = threadIdx.x; i < chunk_stride(num_experts) / 2; i += blockDim.x) {
    words[i] = counts[2 * i] | counts[2 * i + 1] << 16;
  }
}

}  // namespace nvfp4::kernels
