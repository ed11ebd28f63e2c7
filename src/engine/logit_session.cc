#include "engine/logit_session.h"

#include <fmt/format.h>

#include <cassert>
#include <numeric>
#include <utility>

namespace nvfp4::engine {

Status check_tokens(const models::ModelShape& shape, std::span<const TokenId> tokens) {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, "tokens", "there must be at least one"};
  if (tokens.size() > shape.max_positions) {
    return Error{ErrorCode::kInvalidArgument, "tokens",
                 fmt::format("there are {}, but the model's context is {}", tokens.size(), shape.max_positions)};
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= shape.vocab_size) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("tokens[{}]", i),
                   fmt::format("{} is not below the vocabulary's size {}", tokens[i], shape.vocab_size)};
    }
  }
  return {};
}

Result<LogitSession> LogitSession::create(const models::LanguageModel& model, layers::KvType kv_type,
                                          std::uint32_t max_tokens, std::uint32_t max_step_tokens, WorkerPool& pool) {
  constexpr std::uint32_t kBlockTokens = layers::KvCache::kBlockTokens;
  const std::uint32_t num_blocks = max_tokens / kBlockTokens + (max_tokens % kBlockTokens != 0 ? 1 : 0);
  auto cache = layers::KvCache::create(model.shape().kv, kv_type, num_blocks);
  NVFP4_RETURN_IF_ERROR(cache);
  LogitSession session(model, pool, std::move(cache).value());
  // From the last block to the first, as a cache that is in use would be: a table is not the identity.
  session.blocks_.resize(num_blocks);
  std::iota(session.blocks_.rbegin(), session.blocks_.rend(), 0U);
  session.rows_.resize(max_step_tokens);
  std::iota(session.rows_.begin(), session.rows_.end(), 0U);
  session.max_step_tokens_ = max_step_tokens;
  session.logits_.resize(std::size_t{max_step_tokens} * model.shape().vocab_size);
  session.workspace_.reserve(model.workspace_bytes(max_step_tokens, max_step_tokens, pool.num_workers()));
  return session;
}

std::span<const float> LogitSession::feed(std::span<const TokenId> tokens, models::HiddenTap* tap) {
  assert(tokens.size() <= max_step_tokens_);
  assert(position_ + tokens.size() <= blocks_.size() * layers::KvCache::kBlockTokens);
  const auto num_tokens = static_cast<std::uint32_t>(tokens.size());
  const layers::SequenceSlice slice{0, num_tokens, position_, blocks_};
  const std::span<float> logits = std::span(logits_).first(tokens.size() * model_->shape().vocab_size);
  model_->forward({tokens, {&slice, 1}, std::span(rows_).first(tokens.size())}, cache_, workspace_, *pool_, logits,
                  tap);
  position_ += num_tokens;
  return logits;
}

}  // namespace nvfp4::engine
