#include "layers/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>

#include "layers/counter_random.h"
#include "layers/softmax_weights.h"

namespace nvfp4::layers {
namespace {

constexpr float kMaxFloat = std::numeric_limits<float>::max();

Error out_of_range(std::string_view field, std::string value, std::string_view range) {
  return {ErrorCode::kInvalidArgument, std::string(field), fmt::format("{} is not possible; give {}", value, range)};
}

bool has_penalties(const SamplingParameters& parameters) {
  return parameters.repetition_penalty != 1.0F || parameters.presence_penalty != 0.0F ||
         parameters.frequency_penalty != 0.0F;
}

float penalise(float logit, std::uint32_t num_in_output, const SamplingParameters& parameters) {
  float value = logit > 0 ? logit / parameters.repetition_penalty : logit * parameters.repetition_penalty;
  if (num_in_output > 0) {
    value -= parameters.frequency_penalty * static_cast<float>(num_in_output) + parameters.presence_penalty;
  }
  // A finite logit stays finite.
  return std::isinf(logit) ? logit : std::clamp(value, -kMaxFloat, kMaxFloat);
}

float weight_of(float value, float max, float temperature) { return exp_of_negative((value - max) / temperature); }

}  // namespace

Status SamplingParameters::validate() const {
  const auto real = [](float value) { return fmt::format("{}", value); };
  if (!(temperature >= 0 && temperature <= kMaxFloat))
    return out_of_range("temperature", real(temperature), "a number from 0 (greedy) on");
  if (!(top_p >= 0 && top_p <= 1)) return out_of_range("top_p", real(top_p), "a number from 0 to 1 (off)");
  if (!(min_p >= 0 && min_p <= 1)) return out_of_range("min_p", real(min_p), "a number from 0 (off) to 1");
  if (!(repetition_penalty > 0 && repetition_penalty <= kMaxFloat))
    return out_of_range("repetition_penalty", real(repetition_penalty), "a number above 0 (1 is off)");
  if (!(presence_penalty >= -2 && presence_penalty <= 2))
    return out_of_range("presence_penalty", real(presence_penalty), "a number from -2 to 2 (0 is off)");
  if (!(frequency_penalty >= -2 && frequency_penalty <= 2))
    return out_of_range("frequency_penalty", real(frequency_penalty), "a number from -2 to 2 (0 is off)");
  if (num_logprobs.value_or(0) > kMaxLogprobs)
    return out_of_range("num_logprobs", fmt::format("{}", *num_logprobs), fmt::format("at most {}", kMaxLogprobs));
  return {};
}

Sampler::Sampler(std::uint32_t vocab_size)
    : values_(vocab_size),
      weights_(vocab_size),
      counts_(vocab_size),
      entries_(vocab_size),
      kept_tokens_(vocab_size),
      kept_weights_(vocab_size) {}

Result<SampledToken> Sampler::sample(const SamplerInput& input, std::span<TokenLogprob> top) {
  const SamplingParameters& parameters = input.parameters;
  auto row = checked_row(input.logits);
  if (!row) return std::move(row).error();
  const Row raw = *row;
  SampledToken sampled;
  double log_sum = 0;
  if (parameters.num_logprobs) sampled.num_top_logprobs = take_logprobs(raw, *parameters.num_logprobs, top, log_sum);

  if (has_penalties(parameters)) row = checked_row(penalised(input));
  if (!row) return std::move(row).error();
  if (parameters.temperature == 0) {
    const auto first = std::find(row->values.begin(), row->values.end(), row->max);
    sampled.token = static_cast<TokenId>(first - row->values.begin());
  } else {
    sampled.token =
        draw(truncated(*row, parameters), uniform(parameters.seed.value_or(0), std::uint64_t{input.output.size()}));
  }
  if (parameters.num_logprobs) {
    sampled.logprob = static_cast<float>(double{raw.values[sampled.token]} - double{raw.max} - log_sum);
  }
  return sampled;
}

Result<Sampler::Candidates> Sampler::candidates(const SamplerInput& input) {
  auto row = checked_row(input.logits);
  if (row.ok() && has_penalties(input.parameters)) row = checked_row(penalised(input));
  if (!row) return std::move(row).error();
  return truncated(*row, input.parameters);
}

Result<Sampler::Row> Sampler::checked_row(std::span<const float> logits) {
  assert(logits.size() == counts_.size());
  constexpr std::size_t kLanes = 8;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  std::array<float, kLanes> max;
  std::array<std::uint32_t, kLanes> bad{};
  max.fill(kNone);
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = logits[i + lane];
      max[lane] = value > max[lane] ? value : max[lane];
      bad[lane] |= value <= kMaxFloat ? 0U : 1U;
    }
  }
  for (; i < logits.size(); ++i) {
    max[0] = logits[i] > max[0] ? logits[i] : max[0];
    bad[0] |= logits[i] <= kMaxFloat ? 0U : 1U;
  }
  if (std::any_of(bad.begin(), bad.end(), [](std::uint32_t flag) { return flag != 0; })) {
    const auto it = std::find_if(logits.begin(), logits.end(), [](float value) { return !(value <= kMaxFloat); });
    return Error{ErrorCode::kMalformed, fmt::format("logits: token {}", it - logits.begin()),
                 fmt::format("is {}; the weights are damaged (`nvfp4 check`), or a kernel is wrong", *it)};
  }
  const float largest = *std::max_element(max.begin(), max.end());
  if (largest == kNone) return Error{ErrorCode::kMalformed, "logits", "all are -infinity; the weights are damaged"};
  return Row{logits, largest};
}

std::span<const float> Sampler::penalised(const SamplerInput& input) {
  std::copy(input.logits.begin(), input.logits.end(), values_.begin());
  for (const TokenId token : input.output) ++counts_[token];
  for (const std::span<const TokenId> tokens : {input.prompt, input.output}) {
    for (const TokenId token : tokens) {
      if ((counts_[token] & kApplied) != 0) continue;
      values_[token] = penalise(values_[token], counts_[token], input.parameters);
      counts_[token] |= kApplied;
    }
  }
  for (const std::span<const TokenId> tokens : {input.prompt, input.output}) {
    for (const TokenId token : tokens) counts_[token] = 0;
  }
  return values_;
}

std::uint32_t Sampler::take_logprobs(const Row& row, std::uint32_t num_wanted, std::span<TokenLogprob> top,
                                     double& log_sum) {
  softmax_weights(row.values, row.max, 1.0F, weights_);
  log_sum = std::log(sum_of(weights_));
  const std::size_t num_top = std::min<std::size_t>(num_wanted, row.values.size());
  assert(num_top <= top.size());
  const std::span<const Entry> entries = largest(row.values, num_top);
  for (std::size_t i = 0; i < num_top; ++i) {
    top[i] = {entries[i].token, static_cast<float>(double{entries[i].value} - double{row.max} - log_sum)};
  }
  return static_cast<std::uint32_t>(num_top);
}

Sampler::Candidates Sampler::truncated(const Row& row, const SamplingParameters& parameters) {
  const bool all = (parameters.top_k == 0 || parameters.top_k >= row.values.size()) && parameters.top_p >= 1.0F;
  std::size_t num_kept = 0;
  const auto keep = [&](TokenId token, float weight) {
    // The largest weight is 1. A weight of 0 cannot be drawn.
    if (weight < parameters.min_p || weight == 0) return;
    kept_tokens_[num_kept] = token;
    kept_weights_[num_kept++] = weight;
  };
  if (all) {
    softmax_weights(row.values, row.max, parameters.temperature, weights_);
    for (std::size_t i = 0; i < weights_.size(); ++i) keep(static_cast<TokenId>(i), weights_[i]);
  } else {
    const std::span<Entry> entries = most_likely(row, parameters);
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.token < b.token; });
    for (const Entry& entry : entries) keep(entry.token, weight_of(entry.value, row.max, parameters.temperature));
  }
  return {std::span(kept_tokens_).first(num_kept), std::span(kept_weights_).first(num_kept)};
}

std::span<Sampler::Entry> Sampler::most_likely(const Row& row, const SamplingParameters& parameters) {
  const std::size_t vocab_size = row.values.size();
  const bool has_top_k = parameters.top_k > 0 && parameters.top_k < vocab_size;
  const auto weight = [&](const Entry& entry) {
    return double{weight_of(entry.value, row.max, parameters.temperature)};
  };
  if (has_top_k && parameters.top_p >= 1.0F) return largest(row.values, parameters.top_k);

  double total = 0;
  if (!has_top_k) {
    softmax_weights(row.values, row.max, parameters.temperature, weights_);
    total = sum_of(weights_);
  }
  // Without top_k, few tokens are enough nearly always: more are looked at only when they are needed.
  std::size_t num_looked_at = has_top_k ? parameters.top_k : 64;
  while (true) {
    const std::span<Entry> entries = largest(row.values, std::min(num_looked_at, vocab_size));
    if (has_top_k) {
      total = 0;
      for (const Entry& entry : entries) total += weight(entry);
    }
    const double wanted = double{parameters.top_p} * total;
    double sum = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      sum += weight(entries[i]);
      if (sum >= wanted) return entries.first(i + 1);
    }
    if (has_top_k || entries.size() == vocab_size) return entries;
    num_looked_at *= 8;
  }
}

// Sorted, largest first.
std::span<Sampler::Entry> Sampler::largest(std::span<const float> values, std::size_t count) {
  const auto before = [](const Entry& a, const Entry& b) {
    return a.value > b.value || (a.value == b.value && a.token < b.token);
  };
  if (count == 0) return {};
  const auto bring_forward = [&](std::span<Entry> entries) {
    std::nth_element(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(count - 1), entries.end(), before);
  };
  // entries_ is cut back to the largest `count` whenever it is full; a later token must beat the last of them, because
  // it loses a tie.
  constexpr std::size_t kMinRoom = 1024;
  const std::span<Entry> room = std::span(entries_).first(std::min(entries_.size(), std::max(2 * count, kMinRoom)));
  std::size_t size = 0;
  bool cut = false;
  float threshold = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (cut && !(values[i] > threshold)) continue;
    if (size == room.size()) {
      bring_forward(room);
      threshold = room[count - 1].value;
      size = count;
      cut = true;
      if (!(values[i] > threshold)) continue;
    }
    room[size++] = {values[i], static_cast<TokenId>(i)};
  }
  const std::span<Entry> entries = room.first(size);
  if (count < size) bring_forward(entries);
  const std::span<Entry> result = entries.first(std::min(count, size));
  std::sort(result.begin(), result.end(), before);
  return result;
}

TokenId Sampler::draw(const Candidates& candidates, double point) {
  constexpr std::size_t kBlock = 512;
  const std::span<const float> weights = candidates.weights;
  const auto block = [&](std::size_t begin) {
    return weights.subspan(begin, std::min(kBlock, weights.size() - begin));
  };
  double total = 0;
  for (std::size_t begin = 0; begin < weights.size(); begin += kBlock) total += sum_of(block(begin));
  // point < 1, so target < total, which the same sums reach again.
  const double target = point * total;
  double sum = 0;
  std::size_t begin = 0;
  for (; begin + kBlock < weights.size(); begin += kBlock) {
    const double next = sum + sum_of(block(begin));
    if (next > target) break;
    sum = next;
  }
  const std::span<const float> chosen = block(begin);
  std::size_t i = 0;
  for (; i + 1 < chosen.size(); ++i) {
    sum += static_cast<double>(chosen[i]);
    if (sum > target) break;
  }
  return candidates.tokens[begin + i];
}

}  // namespace nvfp4::layers
