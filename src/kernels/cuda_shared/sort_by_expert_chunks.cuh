// Sorting many pairs by expert: chunks of tokens are counted by one kernel (a router may do it as it goes), and placed
// by the next, which adds up the counts of all chunks.
#pragma once

#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kChunkThreads = 1024;
inline constexpr std::uint32_t kMaxChunkTokens = 64;
inline constexpr std::uint32_t kMaxSmallChunkTokens = 4096;  // up to so many tokens, chunks have half as many
// Counts of one chunk fit into 16 bits, and its pairs into kChunkItems for each thread.
inline constexpr std::uint32_t kChunkItems = kMaxChunkTokens * kMaxMoeTopK / kChunkThreads;

// A warp for each token, or for two.
__host__ __device__ constexpr std::uint32_t tokens_per_chunk(std::uint32_t num_tokens) {
  return num_tokens <= kMaxSmallChunkTokens ? kMaxChunkTokens / 2 : kMaxChunkTokens;
}
__host__ __device__ constexpr std::uint32_t num_chunks(std::uint32_t num_tokens) {
  return (num_tokens + tokens_per_chunk(num_tokens) - 1) / tokens_per_chunk(num_tokens);
}
// Elements between the counts of two chunks: they are read as words.
__host__ __device__ constexpr std::uint32_t chunk_stride(std::uint32_t num_experts) {
  return (num_experts + 1) / 2 * 2;
}

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
