#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/history_model.h"

namespace nvfp4::engine {
namespace {

constexpr std::uint32_t kContext = 200;

struct Answer {
  std::vector<TokenId> tokens;
  FinishReason reason = FinishReason::kNone;
  SequenceFacts facts;

  friend bool operator==(const Answer& a, const Answer& b) { return a.tokens == b.tokens && a.reason == b.reason; }
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << testing::PrintToString(answer.tokens) << " " << finish_reason_name(answer.reason);
}

// The definition: no cache, no batch. max_tokens is the limit on prompt and answer.
Answer expected_answer(const Request& request, std::uint32_t max_tokens) {
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

Request random_request(std::mt19937_64& random, std::uint32_t max_prompt) {
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

TEST_F(EngineTest, AnswersAsTheModelAloneWould) {
  std::mt19937_64 random(1);
  Engine engine = make_engine(options(64));
  for (int i = 0; i < 40; ++i) {
    const Request request = random_request(random, 100);
    const SequenceId id = add(engine, request);
    EXPECT_EQ(run(engine).at(id), expected_answer(request, engine.max_tokens()));
  }
  EXPECT_EQ(engine.scheduler().num_preemptions(), 0U);
}

struct Shape {
  std::uint32_t max_batch_tokens;
  std::uint32_t num_blocks;
  std::uint32_t max_sequences;
};

class EngineCompany : public EngineTest, public testing::WithParamInterface<Shape> {};

TEST_P(EngineCompany, TokensDoNotDependOnWhoElseIsThere) {
  const Shape& shape = GetParam();
  std::mt19937_64 random(2);
  std::uint64_t num_preemptions = 0;
  for (int round = 0; round < 12; ++round) {
    Engine engine = make_engine(options(shape.num_blocks, shape.max_batch_tokens, shape.max_sequences));
    std::vector<Request> requests;
    requests.reserve(14);
    for (int i = 0; i < 14; ++i) requests.push_back(random_request(random, engine.max_tokens() * 2 / 3));
    std::shuffle(requests.begin(), requests.end(), random);
    std::map<SequenceId, Request> asked;
    for (const Request& request : requests) asked[add(engine, request)] = request;
    const auto answers = run(engine);
    for (const auto& [id, request] : asked) {
      EXPECT_EQ(answers.at(id), expected_answer(request, engine.max_tokens()))
          << "budget " << shape.max_batch_tokens << " sequence " << id;
    }
    num_preemptions += engine.scheduler().num_preemptions();
    EXPECT_LE(model_.max_batch_tokens(), shape.max_batch_tokens);
    EXPECT_LE(model_.max_batch_sequences(), shape.max_sequences);
  }
  RecordProperty("preemptions", static_cast<int>(num_preemptions));
  if (shape.num_blocks >= 200) {
    EXPECT_EQ(num_preemptions, 0U);
  }
  if (shape.num_blocks >= 5 && shape.num_blocks <= 14 && shape.max_batch_tokens > 1) {
    EXPECT_GT(num_preemptions, 20U);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EngineCompany,
                         testing::Values(Shape{1, 200, 16}, Shape{3, 200, 16}, Shape{7, 200, 16}, Shape{64, 200, 16},
                                         Shape{1000, 200, 16}, Shape{64, 200, 1}, Shape{64, 200, 3}, Shape{1, 14, 16},
                                         Shape{3, 14, 16}, Shape{7, 14, 16}, Shape{64, 14, 16}, Shape{1000, 14, 16},
                                         Shape{7, 5, 16}, Shape{64, 5, 16}, Shape{64, 2, 4}, Shape{7, 1, 4}));

TEST_F(EngineTest, OrderOfArrivalDoesNotMatter) {
  std::mt19937_64 random(3);
  std::vector<Request> requests;
  requests.reserve(10);
  for (int i = 0; i < 10; ++i) requests.push_back(random_request(random, 60));
  std::vector<std::size_t> order(requests.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (int round = 0; round < 6; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    Engine engine = make_engine(options(13, 16));
    std::map<SequenceId, std::size_t> asked;
    for (const std::size_t i : order) asked[add(engine, requests[i])] = i;
    const auto answers = run(engine);
    for (const auto& [id, i] : asked) EXPECT_EQ(answers.at(id), expected_answer(requests[i], engine.max_tokens()));
  }
}

// Requests come and go while the engine works.
TEST_F(EngineTest, ComingAndGoingDisturbsNobody) {
  std::uint64_t num_preemptions = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    Engine engine = make_engine(options(1 + static_cast<std::uint32_t>(random() % 30),
                                        1 + static_cast<std::uint32_t>(random() % 40),
                                        1 + static_cast<std::uint32_t>(random() % 8)));
    std::map<SequenceId, Request> asked;
    std::map<SequenceId, Answer> answers;
    std::map<SequenceId, bool> cancelled;
    for (int i = 0; i < 200 || engine.has_work(); ++i) {
      ASSERT_LT(i, 20000);
      if (i < 200 && random() % 3 == 0) {
        Request request = random_request(random, engine.max_tokens());
        if (random() % 20 == 0) request.prompt[random() % request.prompt.size()] = HistoryModel::kPoison;
        asked[add(engine, request)] = request;
      }
      if (!asked.empty() && random() % 16 == 0) {
        const SequenceId id = std::next(asked.begin(), static_cast<std::ptrdiff_t>(random() % asked.size()))->first;
        engine.cancel(id);
        cancelled[id] = true;
      }
      step(engine, answers);
    }
    expect_all_free(engine);
    num_preemptions += engine.scheduler().num_preemptions();
    for (const auto& [id, request] : asked) {
      const Answer expected = expected_answer(request, engine.max_tokens());
      const Answer& answer = answers[id];
      if (!cancelled[id] || answer.reason != FinishReason::kNone) {
        EXPECT_EQ(answer, expected) << "seed " << seed << " sequence " << id;
      } else {
        ASSERT_LE(answer.tokens.size(), expected.tokens.size());
        EXPECT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), expected.tokens.begin()));
      }
    }
  }
  EXPECT_GT(num_preemptions, 100U);
}

TEST_F(EngineTest, PreemptedSequencesGoOnWithTheSameTokens) {
  Engine engine = make_engine(options(8, 64));
  std::map<SequenceId, Request> asked;
  for (TokenId i = 0; i < 3; ++i) {
    Request request{std::vector<TokenId>(20, i), {}, 80, {}};
    request.sampling.temperature = 1;
    request.sampling.seed = i;
    asked[add(engine, request)] = request;
  }
  const auto answers = run(engine);
  EXPECT_GT(engine.scheduler().num_preemptions(), 0U);
  EXPECT_EQ(answers.at(0).facts.num_preemptions, 0U) << "the first to come is never preempted";
  EXPECT_GT(answers.at(2).facts.num_preemptions, 0U);
  for (const auto& [id, request] : asked) EXPECT_EQ(answers.at(id), expected_answer(request, engine.max_tokens()));
}

TEST_F(EngineTest, CancelFreesBlocksAtOnceInEveryState) {
  Engine engine = make_engine(options(8, 16, 8));
  std::map<SequenceId, Answer> answers;
  const auto num_free = [&] { return engine.scheduler().blocks().num_free(); };

  const SequenceId waiting = add(engine, {std::vector<TokenId>(40, 1), {}, {}, {}});
  engine.cancel(waiting);
  EXPECT_FALSE(engine.has_work());

  const SequenceId in_prompt = add(engine, {std::vector<TokenId>(40, 1), {}, {}, {}});
  step(engine, answers);
  EXPECT_EQ(num_free(), 5U);
  engine.cancel(in_prompt);
  EXPECT_EQ(num_free(), 8U);

  const SequenceId decoding = add(engine, {std::vector<TokenId>(16, 1), {}, {}, {}});
  for (int i = 0; i < 5; ++i) step(engine, answers);
  EXPECT_EQ(answers[decoding].tokens.size(), 5U);
  EXPECT_EQ(num_free(), 6U);
  engine.cancel(decoding);
  EXPECT_EQ(num_free(), 8U);

  const SequenceId first = add(engine, {std::vector<TokenId>(40, 1), {}, {}, {}});
  const SequenceId second = add(engine, {std::vector<TokenId>(40, 2), {}, {}, {}});
  while (engine.scheduler().num_preemptions() == 0) step(engine, answers);
  EXPECT_EQ(engine.scheduler().num_waiting(), 1U);
  const std::uint32_t free_before = num_free();
  engine.cancel(second);  // holds no blocks
  EXPECT_EQ(num_free(), free_before);
  EXPECT_EQ(engine.scheduler().num_waiting(), 0U);
  engine.cancel(first);
  EXPECT_EQ(num_free(), 8U);
  EXPECT_FALSE(engine.has_work());

  const SequenceId finished = add(engine, {{1}, {}, 1, {}});
  step(engine, answers);
  EXPECT_EQ(answers[finished].reason, FinishReason::kLength);
  engine.cancel(finished);
  engine.cancel(12345);
  EXPECT_EQ(num_free(), 8U);
  const auto events = engine.step();
  ASSERT_TRUE(events.ok());
  EXPECT_TRUE(events->empty());
}

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

TEST_F(EngineTest, FirstComeFirstServed) {
  Engine engine = make_engine(options(100, 16, 2));
  const SequenceId first = add(engine, {std::vector<TokenId>(30, 1), {}, 3, {}});
  const SequenceId second = add(engine, {std::vector<TokenId>(5, 2), {}, 3, {}});
  const SequenceId third = add(engine, {{3}, {}, 3, {}});
  std::vector<SequenceId> order;
  while (engine.has_work()) {
    const auto events = engine.step();
    for (const TokenEvent& event : *events) {
      if (event.facts.num_output_tokens == 1) order.push_back(event.sequence);
    }
  }
  EXPECT_EQ(order, (std::vector<SequenceId>{first, second, third}));
}

// The running sequence will need a block soon: a newcomer that takes all the free ones would compute in vain.
TEST_F(EngineTest, NewcomersLeaveABlockToWhoRuns) {
  Engine engine = make_engine(options(8, 100));
  const Request running{std::vector<TokenId>(40, 1), {}, 20, {}};
  const Request newcomer{std::vector<TokenId>(80, 2), {}, 5, {}};
  add(engine, running);
  add(engine, newcomer);
  const auto answers = run(engine);
  EXPECT_EQ(engine.scheduler().num_preemptions(), 0U);
  EXPECT_EQ(answers.at(0), expected_answer(running, kContext));
  EXPECT_EQ(answers.at(1), expected_answer(newcomer, kContext));
}

// A long prompt takes what the running sequences leave of each step, and they go on meanwhile.
TEST_F(EngineTest, PromptsAreComputedInPiecesBesideRunningSequences) {
  Engine engine = make_engine(options(100, 10, 4));
  const SequenceId running = add(engine, {{1}, {}, 100, {}});
  std::map<SequenceId, Answer> answers;
  step(engine, answers);
  const SequenceId late = add(engine, {std::vector<TokenId>(90, 2), {}, 1, {}});
  for (int i = 0; i < 10; ++i) step(engine, answers);
  EXPECT_EQ(answers[running].tokens.size(), 11U);
  EXPECT_EQ(answers[late].tokens.size(), 1U) << "90 tokens in 10 steps of 9";
  EXPECT_EQ(model_.max_batch_tokens(), 10U);
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
