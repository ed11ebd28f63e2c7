// Threads that wait for pieces of work: what a model runs on, thousands of times a second.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace nvfp4 {

// One caller at a time. Worker w begins with the w-th of equal ranges of the pieces, so that the same worker touches
// the same memory at load and in every step, and then takes pieces from the others' ends: a piece must not depend on
// which worker does it.
//
// The threads keep to cores of their own, ordered by the memory nearest to them (base/cpu_topology.h). The caller is
// worker 0 and is not tied to any: it belongs to the program around us.
class WorkerPool {
 public:
  // num_workers counts the calling thread; 0 and 1 mean that it works alone. Starts as few threads as can be had.
  explicit WorkerPool(std::size_t num_workers);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] std::size_t num_workers() const { return threads_.size() + 1; }

  // Calls fn(piece_idx, worker_idx) once for each piece in [0, num_pieces), and returns when all are done. fn must not
  // throw and must not call run(). Does not allocate.
  template <class Fn>
  void run(std::size_t num_pieces, Fn&& fn) {
    using Callable = std::remove_reference_t<Fn>;
    run_pieces(
        num_pieces,
        [](void* context, std::size_t piece_idx, std::size_t worker_idx) {
          (*static_cast<Callable*>(context))(piece_idx, worker_idx);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Calls fn(begin, end, worker_idx) for ranges of about `grain` that cover [0, count).
  template <class Fn>
  void run_ranges(std::size_t count, std::size_t grain, Fn&& fn) {
    const std::size_t step = grain == 0 ? 1 : grain;
    run((count + step - 1) / step, [&](std::size_t piece_idx, std::size_t worker_idx) {
      const std::size_t begin = piece_idx * step;
      fn(begin, begin + step < count ? begin + step : count, worker_idx);
    });
  }

 private:
  using Piece = void (*)(void* context, std::size_t piece_idx, std::size_t worker_idx);
  static constexpr std::size_t kLineBytes = 128;  // processors fetch cache lines in pairs

  // The pieces of one worker that nobody took yet: begin | end << 32. Whoever takes one of them finds beside them the
  // call that they belong to, which lasts until the piece is done. A helper that wakes late finds no pieces or those of
  // a later call, so that nobody has to wait for it.
  struct alignas(kLineBytes) Share {
    std::atomic<std::uint64_t> pieces{0};
    Piece piece = nullptr;
    void* context = nullptr;
  };

  void run_pieces(std::size_t num_pieces, Piece piece, void* context);
  void work(std::size_t worker_idx);
  bool steal(std::size_t worker_idx);
  void wake_some();
  void wait_for_work(std::size_t worker_idx);

  std::size_t num_shares_;
  std::unique_ptr<Share[]> shares_;  // one a worker
  std::chrono::nanoseconds spin_time_{};
  std::vector<std::jthread> threads_;
  alignas(kLineBytes) std::atomic<std::uint32_t> call_{0};  // counts calls; helpers wait for it to change
  std::atomic<bool> stop_{false};
  std::atomic<std::uint32_t> num_sleeping_{0};
  std::atomic<int> num_to_wake_{0};                           // for the call, not counting those woken
  alignas(kLineBytes) std::atomic<std::size_t> num_done_{0};  // pieces of the call
};

}  // namespace nvfp4
