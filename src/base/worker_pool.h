// Threads that wait for pieces of work: what a model runs on, thousands of times a second.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace nvfp4 {

// One caller at a time. Pieces are handed out dynamically, so a piece must not depend on which worker does it.
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

  void run_pieces(std::size_t num_pieces, Piece piece, void* context);
  void work(std::uint64_t generation, std::size_t worker_idx);
  void wait_for_work(std::size_t worker_idx);

  std::vector<std::jthread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint32_t> num_sleeping_{0};
  // Number of the call of run_pieces << 32 | pieces that nobody took yet. A helper that wakes late finds another call
  // or no pieces, so that nobody has to wait for it.
  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::size_t> num_done_{0};
  // Of the call; read only after a piece of it was taken.
  std::size_t num_pieces_ = 0;
  Piece piece_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace nvfp4
