#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/cpu_topology.h"

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

// Regions as steps of a model make them: few pieces or many, at once or after a pause in which helpers fall asleep, and
// helpers that are late for one find the next.
TEST_P(WorkerPoolSizes, RegionsOfAllKindsInAnyOrder) {
  std::mt19937 random(3);
  WorkerPool pool(GetParam());
  std::vector<std::uint64_t> written(300, 0);
  for (std::uint64_t round = 1; round <= 3000; ++round) {
    const std::size_t num_pieces = random() % 4 == 0 ? random() % written.size() : random() % 6;
    pool.run(num_pieces, [&, round](std::size_t piece_idx, std::size_t) { written[piece_idx] = round; });
    for (std::size_t i = 0; i < num_pieces; ++i) ASSERT_EQ(written[i], round) << "piece " << i << " of " << num_pieces;
    if (random() % 100 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
  }
}

TEST_P(WorkerPoolSizes, EndsAtAnyMoment) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    WorkerPool pool(GetParam());
    std::atomic<int> runs{0};
    const int num_regions = static_cast<int>(random() % 4);
    for (int i = 0; i < num_regions; ++i) pool.run(3, [&](std::size_t, std::size_t) { ++runs; });
    EXPECT_EQ(runs, 3 * num_regions);
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 100);
    while (std::chrono::steady_clock::now() < end) {
    }
  }
}

// No piece ends before all have begun, so that nobody has time for another's.
TEST_P(WorkerPoolSizes, AWorkerBeginsWithItsOwnRange) {
  WorkerPool pool(GetParam());
  std::atomic<std::size_t> num_begun{0};
  std::vector<std::size_t> workers(pool.num_workers());
  pool.run(workers.size(), [&](std::size_t piece_idx, std::size_t worker_idx) {
    workers[piece_idx] = worker_idx;
    ++num_begun;
    while (num_begun != workers.size()) std::this_thread::yield();
  });
  for (std::size_t i = 0; i < workers.size(); ++i) EXPECT_EQ(workers[i], i);
}

TEST_P(WorkerPoolSizes, TheCallerMayRunWhereItMightBefore) {
  const std::vector<unsigned> before = affinity();
  const auto places = place_workers(allowed_cpus(), GetParam());
  WorkerPool pool(GetParam());
  pool.run(64, [&](std::size_t, std::size_t worker_idx) {
    const std::vector<unsigned> ids = affinity();
    const bool is_free = worker_idx == 0 || places.empty();
    EXPECT_TRUE(std::is_permutation(ids.begin(), ids.end(), is_free ? before.begin() : places[worker_idx].begin(),
                                    is_free ? before.end() : places[worker_idx].end()));
  });
  EXPECT_EQ(affinity(), before);
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

// The piece that begins first ends last: the other worker does all the rest, the first one's range included.
TEST(WorkerPool, WhoHasNothingLeftTakesFromTheOthers) {
  WorkerPool pool(2);
  constexpr std::size_t kPieces = 10;
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> has_begun{false};
    std::atomic<std::size_t> num_done{0};
    std::array<std::size_t, 2> num_pieces{};
    pool.run(kPieces, [&](std::size_t, std::size_t worker_idx) {
      const bool is_first = !has_begun.exchange(true);
      while (is_first && num_done != kPieces - 1) std::this_thread::yield();
      ++num_pieces[worker_idx];
      ++num_done;
    });
    EXPECT_EQ(std::min(num_pieces[0], num_pieces[1]), 1U);
    EXPECT_EQ(std::max(num_pieces[0], num_pieces[1]), kPieces - 1);
  }
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
