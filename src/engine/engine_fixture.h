// An engine over a model whose answers are known without it (history_model.h), for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <ostream>
#include <random>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/history_model.h"

namespace nvfp4::engine {

inline constexpr std::uint32_t kContext = 200;

struct Answer {
  std::vector<TokenId> tokens;
  FinishReason reason = FinishReason::kNone;
  SequenceFacts facts;

  friend bool operator==(const Answer& a, const Answer& b) { return a.tokens == b.tokens && a.reason == b.reason; }
};

inline std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << testing::PrintToString(answer.tokens) << " " << finish_reason_name(answer.reason);
}

// The definition: no cache, no batch. max_tokens is the limit on prompt and answer.
inline Answer expected_answer(const Request& request, std::uint32_t max_tokens) {
  Answer answer;
  std::vector<float> logits(HistoryModel::kVocabSize);
  layers::Sampler sampler(HistoryModel::kVocabSize);
  std::vector<TokenId> tokens = request.prompt;
  while (answer.reason == FinishReason::kNone) {
    HistoryModel::logits_after(tokens, logits);
    const auto sampled = sampler.sample({logits, request.sampling, request.prompt, answer.tokens}, {});
    if (!sampled) {
      answer.reason = FinishReason::kError;
      break;
    }
    tokens.push_back(sampled->token);
    answer.tokens.push_back(sampled->token);
    if (std::count(request.stop_tokens.begin(), request.stop_tokens.end(), sampled->token) > 0) {
      answer.reason = FinishReason::kStop;
    } else if (tokens.size() >= max_tokens || answer.tokens.size() == request.max_tokens.value_or(UINT32_MAX)) {
      answer.reason = FinishReason::kLength;
    }
  }
  return answer;
}

class EngineTest : public testing::Test {
 protected:
  Engine make_engine(const EngineOptions& options) {
    auto engine = Engine::create(model_, options, pool_);
    EXPECT_TRUE(engine.ok()) << engine.error().to_string();
    return std::move(engine).value();
  }

  static EngineOptions options(std::uint32_t num_blocks, std::uint32_t max_batch_tokens = 64,
                               std::uint32_t max_sequences = 16) {
    EngineOptions result;
    result.kv_type = layers::KvType::kF32;
    result.num_blocks = num_blocks;
    result.max_batch_tokens = max_batch_tokens;
    result.max_sequences = max_sequences;
    return result;
  }

  static SequenceId add(Engine& engine, Request request) {
    auto id = engine.add(std::move(request));
    EXPECT_TRUE(id.ok()) << id.error().to_string();
    return id.ok() ? *id : ~SequenceId{0};
  }

  // One step; its events go to `answers`.
  static void step(Engine& engine, std::map<SequenceId, Answer>& answers) {
    const auto events = engine.step();
    ASSERT_TRUE(events.ok());
    std::vector<SequenceId> seen;
    for (const TokenEvent& event : *events) {
      EXPECT_EQ(std::count(seen.begin(), seen.end(), event.sequence), 0) << "two events of a sequence in a step";
      seen.push_back(event.sequence);
      Answer& answer = answers[event.sequence];
      EXPECT_EQ(answer.reason, FinishReason::kNone) << "an event after the last";
      if (event.finish_reason != FinishReason::kError) answer.tokens.push_back(event.token);
      EXPECT_EQ(event.facts.num_output_tokens, answer.tokens.size());
      answer.reason = event.finish_reason;
      answer.facts = event.facts;
    }
  }

  static std::map<SequenceId, Answer> run(Engine& engine) {
    std::map<SequenceId, Answer> answers;
    for (int num_steps = 0; engine.has_work(); ++num_steps) {
      step(engine, answers);
      if (num_steps > 100000 || HasFatalFailure()) {
        ADD_FAILURE() << "no end";
        break;
      }
    }
    expect_all_free(engine);
    return answers;
  }

  static void expect_all_free(const Engine& engine) {
    EXPECT_EQ(engine.scheduler().blocks().num_free(), engine.cache().num_blocks());
  }

  HistoryModel model_{kContext};
  WorkerPool pool_{2};
};

inline Request random_request(std::mt19937_64& random, std::uint32_t max_prompt) {
  Request request;
  const std::size_t num_tokens = 1 + random() % max_prompt;
  for (std::size_t i = 0; i < num_tokens; ++i) request.prompt.push_back(static_cast<TokenId>(random() % 90));
  request.max_tokens = 1 + static_cast<std::uint32_t>(random() % 60);
  if (random() % 4 == 0) request.max_tokens.reset();
  if (random() % 2 == 0) request.stop_tokens = {static_cast<TokenId>(random() % 90), 17, 42};
  if (random() % 3 > 0) {
    request.sampling.temperature = 0.8F;
    request.sampling.seed = random() % 5;
    if (random() % 2 == 0) request.sampling.top_k = 20;
    if (random() % 2 == 0) request.sampling.top_p = 0.9F;
    if (random() % 4 == 0) request.sampling.min_p = 0.1F;
  }
  if (random() % 3 == 0) {
    request.sampling.repetition_penalty = 1.3F;
    request.sampling.presence_penalty = 0.5F;
    request.sampling.frequency_penalty = 0.25F;
  }
  return request;
}

}  // namespace nvfp4::engine
