// What every model is to its caller: tokens and a cache in, logits out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/worker_pool.h"
#include "base/workspace.h"
#include "layers/kv_cache.h"
#include "layers/step_batch.h"
#include "plan/planner.h"

namespace nvfp4::models {

struct ModelShape {
  std::string architecture;  // "Qwen3MoeForCausalLM"
  std::uint32_t num_layers = 0;
  std::uint32_t hidden_size = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t max_positions = 0;  // tokens of one sequence, prompt and answer
  layers::KvShape kv;
};

// The residual stream on request: after the embedding (0) and after every layer (1 .. num_layers).
struct HiddenTap {
  virtual ~HiddenTap() = default;
  virtual void take(std::uint32_t depth, std::span<const float> hidden) = 0;  // [num_tokens, hidden_size]
};

class LanguageModel {
 public:
  LanguageModel() = default;
  virtual ~LanguageModel() = default;
  LanguageModel(const LanguageModel&) = delete;
  LanguageModel& operator=(const LanguageModel&) = delete;

  [[nodiscard]] virtual const ModelShape& shape() const = 0;
  // Which kernel serves which kind of layer, and why: what its layers took their kernels from.
  [[nodiscard]] virtual const plan::Plan& plan() const = 0;

  // Bytes that forward() takes from its workspace for a batch of at most num_tokens tokens, num_logit_rows of them with
  // logits, on num_workers workers.
  [[nodiscard]] virtual std::size_t workspace_bytes(std::uint32_t num_tokens, std::uint32_t num_logit_rows,
                                                    std::size_t num_workers) const = 0;

  // Writes the batch's keys and values into the cache and its logits to out [batch.logit_rows.size(), vocab_size].
  // Every token's result depends only on its own sequence, bit for bit, however tokens are grouped into batches.
  // Token ids are below vocab_size, positions below max_positions (the caller has checked).
  virtual void forward(const layers::StepBatch& batch, layers::KvCache& cache, Workspace& workspace, WorkerPool& pool,
                       std::span<float> logits, HiddenTap* tap = nullptr) const = 0;
};

}  // namespace nvfp4::models
