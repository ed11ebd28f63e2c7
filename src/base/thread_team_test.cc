#include "base/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace nvfp4 {
namespace {

TEST(ParallelRanges, CoverEachElementOnce) {
  for (const std::size_t count : {0U, 1U, 2U, 7U, 1000U}) {
    for (const std::size_t num_threads : {0U, 1U, 2U, 5U}) {
      std::vector<std::atomic<int>> seen(count);
      parallel_ranges(count, num_threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
      });
      for (const std::atomic<int>& times : seen) EXPECT_EQ(times, 1) << count << " on " << num_threads;
    }
  }
}

TEST(ThreadTeam, WaitsForItsThreads) {
  std::atomic<int> calls{0};
  {
    ThreadTeam team(4, [&] { ++calls; });
    team.join();
  }
  EXPECT_GE(calls, 1);
  EXPECT_LE(calls, 4);
}

}  // namespace
}  // namespace nvfp4
