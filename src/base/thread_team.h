// A few threads that do one piece of work together.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace nvfp4 {

class ThreadTeam {
 public:
  // Starts num_threads - 1 threads that call `work`, or as few as can be had: `work` must be able to do all of it
  // alone.
  ThreadTeam(std::size_t num_threads, std::function<void()> work);

  // Calls `work` on this thread too and waits for the others. Without it the destructor only waits.
  void join();

 private:
  std::function<void()> work_;
  std::vector<std::jthread> helpers_;
};

// Calls fn(begin, end) for ranges that cover [0, count) on up to num_threads threads, one contiguous range each.
void parallel_ranges(std::size_t count, std::size_t num_threads,
                     const std::function<void(std::size_t, std::size_t)>& fn);

}  // namespace nvfp4
