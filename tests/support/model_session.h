// One sequence on a model, without the engine: feeds tokens in chunks and collects every token's logits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/worker_pool.h"
#include "base/workspace.h"
#include "layers/kv_cache.h"
#include "models/model.h"
#include "nvfp4/token.h"

namespace nvfp4::support {

class ModelSession {
 public:
  static constexpr std::uint32_t kMaxTokens = 256;

  ModelSession(const models::LanguageModel& model, layers::KvType kv_type, WorkerPool& pool)
      : model_(model),
        pool_(pool),
        cache_(
            layers::KvCache::create(model.shape().kv, kv_type, kMaxTokens / layers::KvCache::kBlockTokens + 1).value()),
        blocks_(kMaxTokens / layers::KvCache::kBlockTokens) {
    // Backwards, so that a cache that ignored the block table would be noticed.
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i] = static_cast<std::uint32_t>(blocks_.size() - i);
    workspace_.reserve(model.workspace_bytes(kMaxTokens, kMaxTokens, pool.num_workers()));
  }

  // Logits [tokens.size(), vocab] of tokens that follow what was fed before.
  std::vector<float> feed(std::span<const TokenId> tokens, models::HiddenTap* tap = nullptr) {
    std::vector<std::uint32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0U);
    const layers::SequenceSlice slice{0, static_cast<std::uint32_t>(tokens.size()), position_, blocks_};
    std::vector<float> logits(tokens.size() * model_.shape().vocab_size);
    model_.forward({tokens, {&slice, 1}, rows}, cache_, workspace_, pool_, logits, tap);
    position_ += static_cast<std::uint32_t>(tokens.size());
    return logits;
  }

 private:
  const models::LanguageModel& model_;
  WorkerPool& pool_;
  layers::KvCache cache_;
  Workspace workspace_;
  std::vector<std::uint32_t> blocks_;
  std::uint32_t position_ = 0;
};

}  // namespace nvfp4::support
