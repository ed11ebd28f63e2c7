// The chunks of tokens in which many pairs are sorted by expert.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kChunkThreads = 1024;
inline constexpr std::uint32_t kMaxChunkTokens = 64;
inline constexpr std::uint32_t kMaxSmallChunkTokens = 4096;  // up to so many tokens, chunks have half as many
// Counts of one chunk fit into 16 bits, and its pairs into kChunkItems for each thread.
inline constexpr std::uint32_t kChunkItems = kMaxChunkTokens * kMaxMoeTopK / kChunkThreads;

// A warp for each token, or for two.
NVFP4_HD constexpr std::uint32_t tokens_per_chunk(std::uint32_t num_tokens) {
  return num_tokens <= kMaxSmallChunkTokens ? kMaxChunkTokens / 2 : kMaxChunkTokens;
}
NVFP4_HD constexpr std::uint32_t num_chunks(std::uint32_t num_tokens) {
  return (num_tokens + tokens_per_chunk(num_tokens) - 1) / tokens_per_chunk(num_tokens);
}
// Elements between the counts of two chunks: they are read as words.
NVFP4_HD constexpr std::uint32_t chunk_stride(std::uint32_t num_experts) { return (num_experts + 1) / 2 * 2; }

}  // namespace nvfp4::kernels
