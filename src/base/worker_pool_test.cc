#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <vector>

namespace nvfp4 {
namespace {

class WorkerPoolSizes : public testing::TestWithParam<std::size_t> {};

// Plain, not atomic: a piece that ran twice at once, or a result not seen by the caller, is a race for TSan.
TEST_P(WorkerPoolSizes, EveryPieceRunsExactlyOnce) {
  WorkerPool pool(GetParam());
  EXPECT_EQ(pool.num_workers(), GetParam());
  for (const std::size_t num_pieces : {0, 1, 2, 3, 7, 8, 9, 64, 1000}) {
    std::vector<int> runs(num_pieces, 0);
    pool.run(num_pieces, [&](std::size_t piece_idx, std::size_t worker_idx) {
      ASSERT_LT(piece_idx, num_pieces);
      EXPECT_LT(worker_idx, pool.num_workers());
      ++runs[piece_idx];
    });
    EXPECT_EQ(runs, std::vector<int>(num_pieces, 1));
  }
}

// Scratch memory is handed out by worker: two pieces of one worker must not overlap in time.
TEST_P(WorkerPoolSizes, AWorkerDoesOnePieceAtATime) {
  WorkerPool pool(GetParam());
  std::vector<std::size_t> scratch(pool.num_workers(), 0);
  for (int round = 0; round < 20; ++round) {
    pool.run(200, [&](std::size_t piece_idx, std::size_t worker_idx) {
      scratch[worker_idx] = piece_idx;
      for (int spin = 0; spin < 20; ++spin) EXPECT_EQ(scratch[worker_idx], piece_idx);
    });
  }
}

TEST_P(WorkerPoolSizes, ManyShortRunsSeeEachOthersResults) {
  WorkerPool pool(GetParam());
  std::array<std::uint64_t, 5> sums{};
  constexpr std::uint64_t kRuns = 400;
  for (std::uint64_t round = 1; round <= kRuns; ++round) {
    pool.run(sums.size(),
             [&](std::size_t piece_idx, std::size_t) { sums[(piece_idx + round) % sums.size()] += round; });
  }
  for (const std::uint64_t sum : sums) EXPECT_EQ(sum, kRuns * (kRuns + 1) / 2);
}

TEST_P(WorkerPoolSizes, RangesCoverTheCountInOrder) {
  WorkerPool pool(GetParam());
  for (const std::size_t count : {0, 1, 5, 6, 7, 100}) {
    for (const std::size_t grain : {0, 1, 2, 6, 1000}) {
      std::vector<int> runs(count, 0);
      pool.run_ranges(count, grain, [&](std::size_t begin, std::size_t end, std::size_t worker_idx) {
        ASSERT_LT(begin, end);
        ASSERT_LE(end, count);
        EXPECT_LE(end - begin, grain == 0 ? 1 : grain);
        EXPECT_LT(worker_idx, pool.num_workers());
        for (std::size_t i = begin; i < end; ++i) ++runs[i];
      });
      EXPECT_EQ(runs, std::vector<int>(count, 1)) << count << " by " << grain;
    }
  }
}

// Helpers that fell asleep between two runs wake up again, and the last run of a pool may come after a pause.
TEST_P(WorkerPoolSizes, WakesAfterAPause) {
  WorkerPool pool(GetParam());
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::vector<int> runs(50, 0);
    pool.run(runs.size(), [&](std::size_t piece_idx, std::size_t) { ++runs[piece_idx]; });
    EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
  }
}

// Helpers that spin, sleep, or have not begun yet when their pool ends.
TEST_P(WorkerPoolSizes, ManyPoolsBeginAndEnd) {
  for (int round = 0; round < 100; ++round) {
    const auto pool = std::make_unique<WorkerPool>(GetParam());
    int runs = 0;
    if (round % 3 == 1) pool->run(1, [&](std::size_t, std::size_t) { ++runs; });
    if (round % 10 == 2) std::this_thread::sleep_for(std::chrono::microseconds(300));
    EXPECT_EQ(runs, round % 3 == 1 ? 1 : 0);
  }
}

// Up to more workers than any machine that runs the tests has cores to spare.
INSTANTIATE_TEST_SUITE_P(Workers, WorkerPoolSizes, testing::Values(1, 2, 3, 4, 5, 6, 7, 8, 33));

TEST(WorkerPool, ZeroWorkersMeansTheCallerAlone) {
  WorkerPool pool(0);
  EXPECT_EQ(pool.num_workers(), 1U);
  const auto caller = std::this_thread::get_id();
  std::size_t next = 0;
  pool.run(10, [&](std::size_t piece_idx, std::size_t worker_idx) {
    EXPECT_EQ(piece_idx, next++);  // alone, in order
    EXPECT_EQ(worker_idx, 0U);
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
  EXPECT_EQ(next, 10U);
}

// Two pools are independent: a piece of one may run the other.
TEST(WorkerPool, PiecesMayUseAnotherPool) {
  WorkerPool outer(1);
  WorkerPool inner(3);
  std::vector<int> runs(12, 0);
  outer.run(3,
            [&](std::size_t i, std::size_t) { inner.run(4, [&](std::size_t j, std::size_t) { ++runs[4 * i + j]; }); });
  EXPECT_EQ(runs, std::vector<int>(12, 1));
}

TEST(WorkerPool, TakesCallablesThatAreConstOrTemporary) {
  WorkerPool pool(2);
  std::array<int, 4> runs{};
  const auto count = [&](std::size_t piece_idx, std::size_t) { ++runs[piece_idx]; };
  pool.run(4, count);
  pool.run(4, [&](std::size_t piece_idx, std::size_t) mutable { ++runs[piece_idx]; });
  EXPECT_EQ(runs, (std::array<int, 4>{2, 2, 2, 2}));
}

}  // namespace
}  // namespace nvfp4
