// What a request may ask, how it ends, and what is said about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/engine_fixture.h"

namespace nvfp4::engine {
namespace {

TEST_F(EngineTest, RefusesWhatItCanNeverServe) {
  Engine engine = make_engine(options(100));
  Engine small = make_engine(options(3));
  const auto refused = [](Engine& asked, Request request) {
    const auto id = asked.add(std::move(request));
    return id.ok() ? std::string("accepted") : id.error().to_string();
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused(engine, {}), HasSubstr("prompt: has no tokens"));
  EXPECT_THAT(refused(engine, {std::vector<TokenId>(201, 1), {}, {}, {}}),
              HasSubstr("prompt: has 201 tokens, the model's context only 200"));
  EXPECT_THAT(refused(small, {std::vector<TokenId>(49, 1), {}, {}, {}}),
              HasSubstr("prompt: has 49 tokens, the key-value cache only 48"));
  EXPECT_THAT(refused(engine, {{1, 2, 97}, {}, {}, {}}), HasSubstr("prompt[2]: token 97 does not exist"));
  EXPECT_THAT(refused(engine, {{1}, {}, 0, {}}), HasSubstr("max_tokens: 0"));
  Request request{{1}, {}, {}, {}};
  request.sampling.top_p = 2;
  EXPECT_THAT(refused(engine, request), HasSubstr("top_p: 2"));
  EXPECT_FALSE(engine.has_work());
}

TEST_F(EngineTest, RefusesOptionsThatCannotWork) {
  EngineOptions bad = options(0);
  bad.kv_bytes = 100;
  const auto engine = Engine::create(model_, bad, pool_);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().to_string(), testing::HasSubstr("kv_bytes: 100 bytes do not hold one block"));
  EXPECT_FALSE(Engine::create(model_, options(1, 0), pool_).ok());
  EXPECT_FALSE(Engine::create(model_, options(1, 1, 0), pool_).ok());
  // 2 layers of 16 tokens, keys and values of 2 FP32 each.
  bad.kv_bytes = std::uint64_t{10} * 2 * 16 * 2 * 2 * 4;
  EXPECT_EQ(make_engine(bad).cache().num_blocks(), 10U);
  bad.kv_bytes = std::uint64_t{1} << 40;
  EXPECT_EQ(make_engine(bad).cache().num_blocks(), 16U * 13U) << "more than 16 full contexts are no use";
}

TEST_F(EngineTest, EndsForTheRightReason) {
  Engine engine = make_engine(options(100));
  Request request{{5, 6, 7}, {}, {}, {}};
  const Answer free = expected_answer(request, kContext);
  ASSERT_EQ(free.tokens.size(), kContext - 3);

  request.max_tokens = 4;
  SequenceId id = add(engine, request);
  Answer answer = run(engine).at(id);
  EXPECT_EQ(answer.tokens.size(), 4U);
  EXPECT_EQ(answer.reason, FinishReason::kLength);

  request.max_tokens = 50;
  request.stop_tokens = {90, free.tokens[6], 91};
  id = add(engine, request);
  answer = run(engine).at(id);
  EXPECT_EQ(answer.reason, FinishReason::kStop);
  EXPECT_EQ(answer.tokens.back(), free.tokens[6]) << "the stop token is told";

  request.max_tokens.reset();
  request.stop_tokens.clear();
  id = add(engine, request);
  EXPECT_EQ(run(engine).at(id), free) << "the context is full";

  id = add(engine, {std::vector<TokenId>(kContext, 3), {}, {}, {}});
  answer = run(engine).at(id);
  EXPECT_EQ(answer.tokens.size(), 1U) << "a full prompt still gets a token";
  EXPECT_EQ(answer.reason, FinishReason::kLength);

  Engine small = make_engine(options(2));
  id = add(small, {std::vector<TokenId>(30, 3), {}, {}, {}});
  answer = run(small).at(id);
  EXPECT_EQ(answer.tokens.size(), 2U) << "the cache holds 32 tokens";
  EXPECT_EQ(answer.reason, FinishReason::kLength);
}

TEST_F(EngineTest, LogitsThatAreNoNumbersEndTheirSequenceOnly) {
  Engine engine = make_engine(options(100));
  const Request good{{1, 2, 3}, {}, 20, {}};
  const SequenceId first = add(engine, good);
  const SequenceId bad = add(engine, {{1, HistoryModel::kPoison, 3}, {}, 20, {}});
  const SequenceId last = add(engine, good);
  const auto events = engine.step();
  ASSERT_EQ(events->size(), 3U);
  EXPECT_EQ((*events)[1].sequence, bad);
  EXPECT_EQ((*events)[1].finish_reason, FinishReason::kError);
  EXPECT_THAT((*events)[1].error.to_string(), testing::HasSubstr("token 0: is nan"));
  std::map<SequenceId, int> num_tokens;
  while (engine.has_work()) {
    const auto more = engine.step();
    for (const TokenEvent& event : *more) ++num_tokens[event.sequence];
  }
  EXPECT_EQ(num_tokens, (std::map<SequenceId, int>{{first, 19}, {last, 19}}));
  expect_all_free(engine);
}

TEST_F(EngineTest, SequencesWithoutSeedGetTheirOwn) {
  Request request{{1, 2, 3}, {}, 30, {}};
  request.sampling.temperature = 1;
  EngineOptions seeded = options(100);
  const auto answers = [&] {
    Engine engine = make_engine(seeded);
    for (int i = 0; i < 3; ++i) add(engine, request);
    return run(engine);
  };
  const auto first = answers();
  EXPECT_NE(first.at(0).tokens, first.at(1).tokens);
  EXPECT_EQ(answers(), first);
  seeded.seed = 1;
  EXPECT_NE(answers().at(0).tokens, first.at(0).tokens);
}

TEST_F(EngineTest, LogprobsComeWithTheirTokens) {
  Engine engine = make_engine(options(100, 1000, 16));
  std::map<SequenceId, std::uint32_t> wanted;
  std::map<SequenceId, std::vector<TokenId>> tokens;
  for (std::uint32_t i = 0; i < 12; ++i) {
    Request request{{i, 2, 3}, {}, 10, {}};
    if (i > 0) request.sampling.num_logprobs = i - 1;
    tokens[i] = request.prompt;
    wanted[add(engine, std::move(request))] = i;
  }
  std::vector<float> logits(HistoryModel::kVocabSize);
  layers::Sampler sampler(HistoryModel::kVocabSize);
  std::vector<layers::TokenLogprob> top(layers::SamplingParameters::kMaxLogprobs);
  while (engine.has_work()) {
    const auto events = engine.step();
    ASSERT_TRUE(events.ok());
    for (const TokenEvent& event : *events) {
      const std::uint32_t i = wanted.at(event.sequence);
      EXPECT_EQ(event.logprob.has_value(), i > 0);
      ASSERT_EQ(event.top_logprobs.size(), i > 0 ? i - 1 : 0);
      HistoryModel::logits_after(tokens[event.sequence], logits);
      layers::SamplingParameters parameters;
      parameters.num_logprobs = i > 0 ? i - 1 : 0;
      const auto sampled = sampler.sample({logits, parameters, {}, {}}, top);
      EXPECT_EQ(event.logprob, i > 0 ? sampled->logprob : std::nullopt);
      for (std::size_t rank = 0; rank < event.top_logprobs.size(); ++rank) {
        EXPECT_EQ(event.top_logprobs[rank].token, top[rank].token);
        EXPECT_EQ(event.top_logprobs[rank].logprob, top[rank].logprob);
      }
      tokens[event.sequence].push_back(event.token);
    }
  }
}

TEST_F(EngineTest, FactsTellWhatHappened) {
  Engine engine = make_engine(options(100, 10));
  const Clock::time_point before = Clock::now();
  const SequenceId id = add(engine, {std::vector<TokenId>(25, 1), {}, 5, {}});
  const SequenceFacts facts = run(engine).at(id).facts;
  EXPECT_EQ(facts.num_prompt_tokens, 25U);
  EXPECT_EQ(facts.num_output_tokens, 5U);
  EXPECT_LE(before, facts.arrival);
  EXPECT_LT(facts.arrival, facts.first_token);
  EXPECT_LT(facts.first_token, facts.last_token);
  EXPECT_LE(facts.last_token, Clock::now());
}

}  // namespace
}  // namespace nvfp4::engine
