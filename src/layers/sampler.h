// From a row of logits to a token: a pure function of the row, the parameters, the sequence's own tokens and its seed.
//
// In this order (that of Hugging Face's logits processors; penalties as in vLLM):
//   1. repetition_penalty on every token of prompt and output: logit / penalty if positive, else logit * penalty;
//      frequency_penalty * count and presence_penalty are subtracted for tokens of the output.
//   2. temperature; 0 takes the largest logit instead, and the rest is skipped.
//   3. top_k: the k largest logits. top_p: of those, the most likely until their sum reaches top_p. min_p: of those,
//   who
//      has at least min_p times the probability of the most likely.
//   4. One draw from what is left, by inverse CDF in order of token ids.
// Among equal logits the lowest token id counts as the largest everywhere. The draw of output token i uses
// uniform(seed, i): it cannot depend on the batch, nor on how often the sequence was computed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nvfp4/result.h"
#include "nvfp4/token.h"

namespace nvfp4::layers {

struct SamplingParameters {
  static constexpr std::uint32_t kMaxLogprobs = 128;

  float temperature = 0.0F;         // 0: greedy
  std::uint32_t top_k = 0;          // 0: off
  float top_p = 1.0F;               // 1: off; 0: only the most likely token
  float min_p = 0.0F;               // 0: off
  float repetition_penalty = 1.0F;  // 1: off
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::optional<std::uint64_t> seed;          // none: the engine gives the sequence one
  std::optional<std::uint32_t> num_logprobs;  // none: not wanted; 0: of the sampled token only

  // Names the field, its value and what it may be.
  [[nodiscard]] Status validate() const;
};

// Natural logarithm of a token's probability under the raw logits: before penalties, temperature and truncation.
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

struct SamplerInput {
  std::span<const float> logits;  // [vocab_size]
  const SamplingParameters& parameters;
  std::span<const TokenId> prompt;
  std::span<const TokenId> output;  // so far: its size is the number of this draw
};

struct SampledToken {
  TokenId token = 0;
  std::optional<float> logprob;        // when num_logprobs is given
  std::uint32_t num_top_logprobs = 0;  // written to `top`
};

// Holds the scratch memory of one thread; nothing in it outlives a call. Does not allocate after its construction,
// except for errors.
class Sampler {
 public:
  explicit Sampler(std::uint32_t vocab_size);

  // Parameters are valid, tokens below vocab_size. The most likely tokens go to `top`, as many as num_logprobs says
  // and the vocabulary has. An Error when a logit is NaN or +infinity or when all are -infinity.
  [[nodiscard]] Result<SampledToken> sample(const SamplerInput& input, std::span<TokenLogprob> top);

  // What step 3 leaves, in order of token ids; valid until the next call. Temperature is above 0.
  struct Candidates {
    std::span<const TokenId> tokens;
    std::span<const float> weights;  // proportional to the probabilities
  };
  [[nodiscard]] Result<Candidates> candidates(const SamplerInput& input);

 private:
  struct Entry {
    float value;
    TokenId token;
  };
  struct Row {
    std::span<const float> values;
    float max;
  };

  [[nodiscard]] Result<Row> checked_row(std::span<const float> logits);
  [[nodiscard]] std::span<const float> penalised(const SamplerInput& input);
  [[nodiscard]] Candidates truncated(const Row& row, const SamplingParameters& parameters);
  [[nodiscard]] std::span<Entry> largest(std::span<const float> values, std::size_t count);
  [[nodiscard]] std::span<Entry> most_likely(const Row& row, const SamplingParameters& parameters);
  [[nodiscard]] static TokenId draw(const Candidates& candidates, double point);
  // Returns how many it wrote.
  [[nodiscard]] std::uint32_t take_logprobs(const Row& row, std::uint32_t num_wanted, std::span<TokenLogprob> top,
                                            double& log_sum);

  static constexpr std::uint32_t kApplied = 1U << 31;  // in counts_: the penalties of this token are in already

  std::vector<float> values_;          // [vocab_size] logits after penalties
  std::vector<float> weights_;         // [vocab_size]
  std::vector<std::uint32_t> counts_;  // [vocab_size] zero between calls
  std::vector<Entry> entries_;         // [vocab_size]
  std::vector<TokenId> kept_tokens_;   // [vocab_size]
  std::vector<float> kept_weights_;    // [vocab_size]
};

}  // namespace nvfp4::layers
