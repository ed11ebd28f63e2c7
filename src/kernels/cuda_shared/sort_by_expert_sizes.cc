#include "kernels/cuda_shared/sort_by_expert_sizes.h"

#include <algorithm>

#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels {

std::size_t sort_workspace_bytes(std::uint32_t max_tokens, std::uint32_t num_experts) {
  std::uint32_t most = num_chunks(max_tokens);
  if (max_tokens > kMaxSmallChunkTokens) most = std::max(most, num_chunks(kMaxSmallChunkTokens));
  return std::size_t{most} * chunk_stride(num_experts) * sizeof(std::uint16_t);
}

}  // namespace nvfp4::kernels
