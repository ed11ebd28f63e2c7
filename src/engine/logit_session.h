// One sequence on a model, without a scheduler: feeds tokens and answers the logits of every one of them. For those who
// compare and score; text is made by engine.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/large_pages.h"
#include "base/worker_pool.h"
#include "base/workspace.h"
#include "layers/kv_cache.h"
#include "models/model.h"
#include "nvfp4/result.h"
#include "nvfp4/token.h"

namespace nvfp4::engine {

class LogitSession {
 public:
  // For sequences of at most max_tokens tokens, fed at most max_step_tokens at a time. Model and pool outlive it.
  [[nodiscard]] static Result<LogitSession> create(const models::LanguageModel& model, layers::KvType kv_type,
                                                   std::uint32_t max_tokens, std::uint32_t max_step_tokens,
                                                   WorkerPool& pool);

  // Logits [tokens.size(), vocab_size] of tokens that follow those fed before; valid until the next call.
  std::span<const float> feed(std::span<const TokenId> tokens, models::HiddenTap* tap = nullptr);
  // Begins a new sequence.
  void restart() { position_ = 0; }

  [[nodiscard]] std::uint32_t max_step_tokens() const { return max_step_tokens_; }
  [[nodiscard]] std::uint32_t position() const { return position_; }

 private:
  LogitSession(const models::LanguageModel& model, WorkerPool& pool, layers::KvCache cache)
      : model_(&model), pool_(&pool), cache_(std::move(cache)) {}

  const models::LanguageModel* model_;
  WorkerPool* pool_;
  layers::KvCache cache_;
  Workspace workspace_;
  std::vector<std::uint32_t> blocks_;
  std::vector<std::uint32_t> rows_;
  LargeVector<float> logits_;
  std::uint32_t max_step_tokens_ = 0;
  std::uint32_t position_ = 0;
};

// Token ids are below the vocabulary's size and there are not too many of them: an Error that names what is not so.
[[nodiscard]] Status check_tokens(const models::ModelShape& shape, std::span<const TokenId> tokens);

}  // namespace nvfp4::engine
