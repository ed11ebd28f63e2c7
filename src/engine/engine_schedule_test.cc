// Who runs when, and what becomes of cache blocks.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "engine/engine_fixture.h"

namespace nvfp4::engine {
namespace {

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

}  // namespace
}  // namespace nvfp4::engine
