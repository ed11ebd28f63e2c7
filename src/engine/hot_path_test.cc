// Steps must not allocate. Counts calls of operator new in the whole executable; not under ThreadSanitizer, which
// brings its own.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NVFP4_OWN_OPERATOR_NEW 0
#endif
#endif
#ifndef NVFP4_OWN_OPERATOR_NEW
#define NVFP4_OWN_OPERATOR_NEW 1
#endif

#if NVFP4_OWN_OPERATOR_NEW
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "engine/engine.h"
#include "engine/history_model.h"

namespace {
std::atomic<std::size_t> num_allocations{0};

void* counted(std::size_t num_bytes) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(num_bytes == 0 ? 1 : num_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t num_bytes) { return counted(num_bytes); }
void* operator new[](std::size_t num_bytes) { return counted(num_bytes); }
void* operator new(std::size_t num_bytes, const std::nothrow_t&) noexcept { return counted(num_bytes); }
void* operator new[](std::size_t num_bytes, const std::nothrow_t&) noexcept { return counted(num_bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

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
  const std::size_t before = num_allocations;
  std::size_t num_tokens = 0;
  while (engine->has_work()) num_tokens += engine->step()->size();
  EXPECT_EQ(num_allocations - before, 0U);
  EXPECT_GT(engine->scheduler().num_preemptions(), 0U);
  EXPECT_GT(num_tokens, 500U);
}

}  // namespace
}  // namespace nvfp4::engine

#endif  // NVFP4_OWN_OPERATOR_NEW
