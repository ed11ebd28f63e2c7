#include "base/thread_team.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <utility>

namespace nvfp4 {

ThreadTeam::ThreadTeam(std::size_t num_threads, std::function<void()> work) : work_(std::move(work)) {
  try {
    while (helpers_.size() + 1 < num_threads) helpers_.emplace_back(work_);
  } catch (const std::system_error&) {
    // No more threads to be had: those that started, or join() alone, do all the work.
  }
}

void ThreadTeam::join() {
  work_();
  helpers_.clear();
}

void parallel_ranges(std::size_t count, std::size_t num_threads,
                     const std::function<void(std::size_t, std::size_t)>& fn) {
  const std::size_t num_ranges = std::max<std::size_t>(1, std::min(num_threads, count));
  std::atomic<std::size_t> next{0};
  ThreadTeam team(num_ranges, [&] {
    for (std::size_t i = next++; i < num_ranges; i = next++) fn(count * i / num_ranges, count * (i + 1) / num_ranges);
  });
  team.join();
}

}  // namespace nvfp4
