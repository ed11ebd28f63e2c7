// One request on its way: its tokens, its cache blocks, and how far it is.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "layers/kv_cache.h"
#include "layers/sampler.h"
#include "nvfp4/token.h"

namespace nvfp4::engine {

using Clock = std::chrono::steady_clock;
using SequenceId = std::uint64_t;  // counts requests: also the order of arrival

struct Request {
  std::vector<TokenId> prompt;
  layers::SamplingParameters sampling;
  std::optional<std::uint32_t> max_tokens;  // of the answer; none: until the context is full
  std::vector<TokenId> stop_tokens;         // end the answer, and are its last token: the model's eos ids
};

enum class FinishReason : std::uint8_t {
  kNone,    // goes on
  kStop,    // a stop token
  kLength,  // max_tokens, the model's context or the whole cache is full
  kError,   // its logits are not numbers
};
[[nodiscard]] constexpr std::string_view finish_reason_name(FinishReason reason) {
  constexpr std::string_view kNames[] = {"none", "stop", "length", "error"};
  return kNames[static_cast<std::size_t>(reason)];
}

struct SequenceFacts {
  std::uint32_t num_prompt_tokens = 0;
  std::uint32_t num_output_tokens = 0;
  std::uint32_t num_preemptions = 0;
  Clock::time_point arrival;
  Clock::time_point first_token;
  Clock::time_point last_token;
};

struct Sequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;        // prompt, then output
  std::uint32_t num_cached = 0;       // tokens whose keys and values are in the cache
  std::vector<std::uint32_t> blocks;  // of the cache, in order of tokens
  std::uint32_t max_tokens = 0;       // prompt and output
  layers::SamplingParameters sampling;
  std::vector<TokenId> stop_tokens;
  SequenceFacts facts;

  [[nodiscard]] std::uint32_t num_tokens() const { return static_cast<std::uint32_t>(tokens.size()); }
  // At least 1: the last token is always still to be computed.
  [[nodiscard]] std::uint32_t num_uncached() const { return num_tokens() - num_cached; }
  [[nodiscard]] std::span<const TokenId> prompt() const { return std::span(tokens).first(facts.num_prompt_tokens); }
  [[nodiscard]] std::span<const TokenId> output() const { return std::span(tokens).subspan(facts.num_prompt_tokens); }
  [[nodiscard]] static std::uint32_t blocks_for(std::uint32_t num_tokens) {
    return num_tokens / layers::KvCache::kBlockTokens + (num_tokens % layers::KvCache::kBlockTokens != 0 ? 1 : 0);
  }
  [[nodiscard]] bool stops_at(TokenId token) const {
    return std::find(stop_tokens.begin(), stop_tokens.end(), token) != stop_tokens.end();
  }
};

}  // namespace nvfp4::engine
