// Embedding lookup: y[t, :] = W[token[t], :], all scales applied.
#pragma once

#include <span>
#include <string_view>

#include "kernels/contract/linear.h"
#include "nvfp4/token.h"

namespace nvfp4::kernels {

struct EmbeddingKernel {
  std::string_view name;
  // weight: one expert, [vocab, hidden]; y [tokens.size(), hidden]. Token ids are below vocab.
  void (*run)(const LinearWeight& weight, std::span<const TokenId> tokens, float* y, WorkerPool& pool);
};

}  // namespace nvfp4::kernels
