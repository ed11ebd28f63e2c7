// engine::LogitSession for tests: sequences of up to kMaxTokens tokens, answers as vectors that stay.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/logit_session.h"

namespace nvfp4::support {

class ModelSession {
 public:
  static constexpr std::uint32_t kMaxTokens = 256;

  ModelSession(const models::LanguageModel& model, layers::KvType kv_type, WorkerPool& pool)
      : session_(engine::LogitSession::create(model, kv_type, kMaxTokens, kMaxTokens, pool).value()) {}

  // Logits [tokens.size(), vocab] of tokens that follow what was fed before.
  std::vector<float> feed(std::span<const TokenId> tokens, models::HiddenTap* tap = nullptr) {
    const std::span<const float> logits = session_.feed(tokens, tap);
    return {logits.begin(), logits.end()};
  }

 private:
  engine::LogitSession session_;
};

}  // namespace nvfp4::support
