// Steps must not allocate.
#include "support/allocation_counter.h"

#if NVFP4_COUNTS_ALLOCATIONS
#include <gtest/gtest.h>

#include <vector>

#include "engine/engine.h"
#include "engine/history_model.h"

namespace nvfp4::engine {
namespace {

TEST(HotPath, StepsDoNotAllocate) {
  const HistoryModel model(400);
  WorkerPool pool(2);
  EngineOptions options;
  options.num_blocks = 40;
  options.max_batch_tokens = 24;
  options.max_sequences = 8;
  auto engine = Engine::create(model, options, pool);
  ASSERT_TRUE(engine.ok());
  for (std::uint32_t i = 0; i < 12; ++i) {
    Request request{std::vector<TokenId>(30 + i, i), {}, 200, {5}};
    if (i == 11) request.prompt.assign(3, 7);
    request.sampling.temperature = i % 3 == 0 ? 0.0F : 1.0F;
    request.sampling.top_k = i % 4 == 0 ? 10 : 0;
    request.sampling.top_p = i % 2 == 0 ? 0.9F : 1.0F;
    request.sampling.repetition_penalty = i % 2 == 0 ? 1.1F : 1.0F;
    request.sampling.num_logprobs = i % 5;
    ASSERT_TRUE(engine->add(std::move(request)).ok());
  }
  ASSERT_TRUE(engine->step().ok());  // the test's model makes its own lists
  const std::size_t before = support::num_allocations;
  std::size_t num_tokens = 0;
  while (engine->has_work()) num_tokens += engine->step()->size();
  EXPECT_EQ(support::num_allocations - before, 0U);
  EXPECT_GT(engine->scheduler().num_preemptions(), 0U);
  EXPECT_GT(num_tokens, 500U);
}

}  // namespace
}  // namespace nvfp4::engine

#endif  // NVFP4_COUNTS_ALLOCATIONS
