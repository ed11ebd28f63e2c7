// Tokens are those that the model alone would give, whoever else is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "engine/engine_fixture.h"

namespace nvfp4::engine {
namespace {

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

}  // namespace
}  // namespace nvfp4::engine
