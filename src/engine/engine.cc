#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "layers/counter_random.h"

namespace nvfp4::engine {
namespace {

constexpr std::uint32_t kBlockTokens = layers::KvCache::kBlockTokens;

Error invalid(std::string where, std::string message) {
  return {ErrorCode::kInvalidArgument, std::move(where), std::move(message)};
}

Result<std::uint32_t> num_cache_blocks(const models::ModelShape& shape, const EngineOptions& options) {
  const std::uint64_t block_bytes = layers::KvCache::block_bytes(shape.kv, options.kv_type);
  const std::uint64_t affordable = options.num_blocks > 0 ? options.num_blocks : options.kv_bytes / block_bytes;
  if (affordable == 0) {
    return invalid("kv_bytes", fmt::format("{} bytes do not hold one block of {} tokens, which takes {}; give more",
                                           options.kv_bytes, kBlockTokens, block_bytes));
  }
  const std::uint64_t useful = std::uint64_t{Sequence::blocks_for(shape.max_positions)} * options.max_sequences;
  return static_cast<std::uint32_t>(std::min({affordable, useful, std::uint64_t{UINT32_MAX / kBlockTokens}}));
}

}  // namespace

Result<Engine> Engine::create(const models::LanguageModel& model, const EngineOptions& options, WorkerPool& pool) {
  if (options.max_batch_tokens == 0) return invalid("max_batch_tokens", "0 is not possible; give at least 1");
  if (options.max_sequences == 0) return invalid("max_sequences", "0 is not possible; give at least 1");
  const auto num_blocks = num_cache_blocks(model.shape(), options);
  if (!num_blocks) return num_blocks.error();
  auto cache = layers::KvCache::create(model.shape().kv, options.kv_type, *num_blocks);
  if (!cache) return std::move(cache).error();
  try {
    return Engine(model, options, pool, std::move(cache).value());
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kIo, "max_batch_tokens",
                 fmt::format("no memory for steps of {} tokens of {} sequences; give less", options.max_batch_tokens,
                             options.max_sequences)};
  }
}

Engine::Engine(const models::LanguageModel& model, const EngineOptions& options, WorkerPool& pool,
               layers::KvCache cache)
    : model_(&model),
      pool_(&pool),
      seed_(options.seed),
      profile_(options.profile),
      cache_(std::move(cache)),
      max_tokens_(std::min(model.shape().max_positions, cache_.num_blocks() * kBlockTokens)),
      scheduler_(cache_.num_blocks(), options.max_batch_tokens, options.max_sequences) {
  const std::uint32_t max_rows = std::min(options.max_batch_tokens, options.max_sequences);
  const std::uint32_t vocab_size = model.shape().vocab_size;
  workspace_.reserve(model.workspace_bytes(options.max_batch_tokens, max_rows, pool.num_workers()));
  tokens_.reserve(options.max_batch_tokens);
  slices_.reserve(max_rows);
  logit_rows_.reserve(max_rows);
  sampled_.reserve(max_rows);
  logits_.resize(std::size_t{max_rows} * vocab_size);
  samplers_.reserve(pool.num_workers());
  for (std::size_t i = 0; i < pool.num_workers(); ++i) samplers_.emplace_back(vocab_size);
  outcomes_.resize(max_rows);
  top_.resize(std::size_t{max_rows} * layers::SamplingParameters::kMaxLogprobs);
  events_.reserve(max_rows);
}

Status Engine::check(const Request& request) const {
  const models::ModelShape& shape = model_->shape();
  if (request.prompt.empty()) return invalid("prompt", "has no tokens; give at least one");
  if (request.prompt.size() > shape.max_positions) {
    return invalid("prompt", fmt::format("has {} tokens, the model's context only {}; shorten it",
                                         request.prompt.size(), shape.max_positions));
  }
  if (request.prompt.size() > max_tokens_) {
    return invalid("prompt", fmt::format("has {} tokens, the key-value cache only {}; shorten it or give the cache "
                                         "more memory",
                                         request.prompt.size(), max_tokens_));
  }
  const auto foreign = std::find_if(request.prompt.begin(), request.prompt.end(),
                                    [&](TokenId token) { return token >= shape.vocab_size; });
  if (foreign != request.prompt.end()) {
    return invalid(fmt::format("prompt[{}]", foreign - request.prompt.begin()),
                   fmt::format("token {} does not exist, the model has {}; check that tokenizer and model belong "
                               "together",
                               *foreign, shape.vocab_size));
  }
  if (request.max_tokens == 0U) return invalid("max_tokens", "0 is not possible; give at least 1");
  return request.sampling.validate();
}

std::uint64_t Engine::default_seed(SequenceId id) const {
  const auto bits = layers::philox({static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32), 0, 1},
                                   {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
  return std::uint64_t{bits[0]} << 32 | bits[1];
}

Result<SequenceId> Engine::add(Request request) {
  if (auto status = check(request); !status) return std::move(status).error();
  auto sequence = std::make_unique<Sequence>();
  sequence->id = next_id_++;
  const auto num_prompt_tokens = static_cast<std::uint32_t>(request.prompt.size());
  // A full prompt still gets one token: it needs no place in the cache.
  const std::uint32_t room = std::max(max_tokens_ - num_prompt_tokens, 1U);
  sequence->max_tokens = num_prompt_tokens + std::min(room, request.max_tokens.value_or(room));
  sequence->tokens = std::move(request.prompt);
  sequence->tokens.reserve(sequence->max_tokens);
  sequence->blocks.reserve(Sequence::blocks_for(sequence->max_tokens));
  sequence->sampling = request.sampling;
  if (!sequence->sampling.seed) sequence->sampling.seed = default_seed(sequence->id);
  sequence->stop_tokens = std::move(request.stop_tokens);
  sequence->facts.num_prompt_tokens = num_prompt_tokens;
  sequence->facts.arrival = Clock::now();
  scheduler_.add(std::move(sequence));
  return next_id_ - 1;
}

Result<std::span<const TokenEvent>> Engine::step() {
  const std::span<const ScheduledSlice> slices = scheduler_.schedule();
  build_batch(slices);
  begin_profile();
  forward();
  sample();
  commit(slices);
  if (profile_ != nullptr) profile_->end_step();
  return std::span<const TokenEvent>(events_);
}

void Engine::build_batch(std::span<const ScheduledSlice> slices) {
  tokens_.clear();
  slices_.clear();
  logit_rows_.clear();
  sampled_.clear();
  for (const ScheduledSlice& slice : slices) {
    Sequence& sequence = *slice.sequence;
    slices_.push_back(
        {static_cast<std::uint32_t>(tokens_.size()), slice.num_tokens, sequence.num_cached, sequence.blocks});
    const auto first = sequence.tokens.begin() + sequence.num_cached;
    tokens_.insert(tokens_.end(), first, first + slice.num_tokens);
    if (slice.num_tokens < sequence.num_uncached()) continue;
    logit_rows_.push_back(static_cast<std::uint32_t>(tokens_.size() - 1));
    sampled_.push_back(&sequence);
  }
}

void Engine::begin_profile() {
  if (profile_ == nullptr || tokens_.empty()) return;
  const bool decodes = tokens_.size() == slices_.size();
  profile_->begin_step(decodes ? layers::Profile::StepKind::kDecode : layers::Profile::StepKind::kPrefill,
                       tokens_.size());
}

void Engine::forward() {
  if (tokens_.empty()) return;
  const auto logits = std::span(logits_).first(logit_rows_.size() * model_->shape().vocab_size);
  model_->forward({tokens_, slices_, logit_rows_, profile_}, cache_, workspace_, *pool_, logits);
}

void Engine::sample() {
  const layers::ProfileSpan span(profile_, layers::Stage::kSampling);
  const std::size_t vocab_size = model_->shape().vocab_size;
  pool_->run(sampled_.size(), [&](std::size_t row_idx, std::size_t worker_idx) {
    const Sequence& sequence = *sampled_[row_idx];
    const auto logits = std::span<const float>(logits_).subspan(row_idx * vocab_size, vocab_size);
    auto sampled = samplers_[worker_idx].sample({logits, sequence.sampling, sequence.prompt(), sequence.output()},
                                                top_logprobs(row_idx));
    Outcome& outcome = outcomes_[row_idx];
    outcome.error.reset();
    if (sampled) {
      outcome.sampled = *sampled;
    } else {
      outcome.error = std::move(sampled).error();
    }
  });
}

void Engine::commit(std::span<const ScheduledSlice> slices) {
  events_.clear();
  for (const ScheduledSlice& slice : slices) slice.sequence->num_cached += slice.num_tokens;
  const Clock::time_point now = Clock::now();
  for (std::size_t row_idx = 0; row_idx < sampled_.size(); ++row_idx) commit_token(*sampled_[row_idx], row_idx, now);
  for (const TokenEvent& event : events_) {
    if (event.finish_reason != FinishReason::kNone) scheduler_.remove(event.sequence);
  }
}

void Engine::commit_token(Sequence& sequence, std::size_t row_idx, Clock::time_point now) {
  Outcome& outcome = outcomes_[row_idx];
  TokenEvent& event = events_.emplace_back();
  event.sequence = sequence.id;
  if (outcome.error) {
    event.finish_reason = FinishReason::kError;
    event.error = std::move(*outcome.error);
  } else {
    const TokenId token = outcome.sampled.token;
    sequence.tokens.push_back(token);
    if (sequence.facts.num_output_tokens++ == 0) sequence.facts.first_token = now;
    sequence.facts.last_token = now;
    event.token = token;
    event.logprob = outcome.sampled.logprob;
    event.top_logprobs = top_logprobs(row_idx).first(outcome.sampled.num_top_logprobs);
    if (sequence.stops_at(token)) {
      event.finish_reason = FinishReason::kStop;
    } else if (sequence.num_tokens() >= sequence.max_tokens) {
      event.finish_reason = FinishReason::kLength;
    }
  }
  event.facts = sequence.facts;
}

std::span<layers::TokenLogprob> Engine::top_logprobs(std::size_t row_idx) {
  constexpr std::size_t kCount = layers::SamplingParameters::kMaxLogprobs;
  return std::span(top_).subspan(row_idx * kCount, kCount);
}

}  // namespace nvfp4::engine
