// Serves many requests with one model: each step computes a batch of tokens from all of them.
//
// A sequence's tokens depend on its request, its id (only when it brings no seed) and nothing else: not on who else is
// in the batch, how its prompt was cut, or how often it was preempted. One thread calls an Engine at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/large_pages.h"
#include "base/worker_pool.h"
#include "base/workspace.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "layers/kv_cache.h"
#include "layers/profile.h"
#include "layers/sampler.h"
#include "layers/step_batch.h"
#include "models/model.h"
#include "nvfp4/result.h"

namespace nvfp4::engine {

struct EngineOptions {
  layers::KvType kv_type = layers::KvType::kBF16;
  // The cache's size: blocks if given, else bytes. Never more than max_sequences full contexts need.
  std::uint32_t num_blocks = 0;
  std::uint64_t kv_bytes = std::uint64_t{1} << 30;
  std::uint32_t max_batch_tokens = 512;  // of a step: longer prompts are computed in pieces
  std::uint32_t max_sequences = 64;      // that run at a time; any number can wait
  std::uint64_t seed = 0;                // of sequences that bring none
  layers::Profile* profile = nullptr;    // where the time of steps is counted; null: nowhere
};

// A new token of a sequence, or its end with an error. Valid until the engine's next step.
struct TokenEvent {
  SequenceId sequence = 0;
  TokenId token = 0;  // unless finish_reason is kError
  std::optional<float> logprob;
  std::span<const layers::TokenLogprob> top_logprobs;
  FinishReason finish_reason = FinishReason::kNone;  // any other: this event is the sequence's last
  Error error;                                       // with kError
  SequenceFacts facts;                               // this token included
};

class Engine {
 public:
  // The model and the pool must outlive the engine. All memory that steps need is taken here.
  [[nodiscard]] static Result<Engine> create(const models::LanguageModel& model, const EngineOptions& options,
                                             WorkerPool& pool);

  // Refuses what can never be served: an empty prompt, one longer than max_prompt_tokens(), token ids that the model
  // does not have, bad parameters.
  [[nodiscard]] Result<SequenceId> add(Request request);
  // Frees the sequence's blocks at once; there will be no more events of it. Nothing happens when it is over already.
  void cancel(SequenceId id) { scheduler_.remove(id); }

  // Computes one batch. At most one event for each sequence; none when no sequence got as far as a token.
  [[nodiscard]] Result<std::span<const TokenEvent>> step();
  [[nodiscard]] bool has_work() const { return scheduler_.num_running() + scheduler_.num_waiting() > 0; }

  // Prompt and answer together have at most this many tokens: the model's context, or what the whole cache holds. A
  // prompt of this length gets an answer of one token.
  [[nodiscard]] std::uint32_t max_tokens() const { return max_tokens_; }
  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }
  [[nodiscard]] const layers::KvCache& cache() const { return cache_; }

 private:
  struct Outcome {  // of sampling one row
    std::optional<Error> error;
    layers::SampledToken sampled;
  };

  Engine(const models::LanguageModel& model, const EngineOptions& options, WorkerPool& pool, layers::KvCache cache);
  [[nodiscard]] Status check(const Request& request) const;
  void begin_profile();
  [[nodiscard]] std::uint64_t default_seed(SequenceId id) const;
  void build_batch(std::span<const ScheduledSlice> slices);
  void forward();
  void sample();
  void commit(std::span<const ScheduledSlice> slices);
  void commit_token(Sequence& sequence, std::size_t row_idx, Clock::time_point now);
  [[nodiscard]] std::span<layers::TokenLogprob> top_logprobs(std::size_t row_idx);

  const models::LanguageModel* model_;
  WorkerPool* pool_;
  std::uint64_t seed_;
  layers::Profile* profile_;
  layers::KvCache cache_;
  Workspace workspace_;
  std::uint32_t max_tokens_;
  Scheduler scheduler_;
  SequenceId next_id_ = 0;

  // Of the step under way.
  std::vector<TokenId> tokens_;
  std::vector<layers::SequenceSlice> slices_;
  std::vector<std::uint32_t> logit_rows_;
  std::vector<Sequence*> sampled_;         // whose logits row is wanted
  LargeVector<float> logits_;              // [rows, vocab_size]
  std::vector<layers::Sampler> samplers_;  // one for each worker
  std::vector<Outcome> outcomes_;          // [rows]
  std::vector<layers::TokenLogprob> top_;  // [rows, kMaxLogprobs]
  std::vector<TokenEvent> events_;
};

}  // namespace nvfp4::engine
