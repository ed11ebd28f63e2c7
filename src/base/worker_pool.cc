#include "base/worker_pool.h"

#include <system_error>

namespace nvfp4 {
namespace {

// About 20 us: the pause between two operations of a model. A waiting thread then sleeps.
constexpr int kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

WorkerPool::WorkerPool(std::size_t num_workers) {
  try {
    while (threads_.size() + 1 < num_workers) {
      threads_.emplace_back([this, worker_idx = threads_.size() + 1] { wait_for_work(worker_idx); });
    }
  } catch (const std::system_error&) {
    // No more threads to be had: those that started do the work.
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  threads_.clear();  // joins while what they wait on is still there
}

void WorkerPool::run_pieces(std::size_t num_pieces, Piece piece, void* context) {
  if (num_pieces == 0) return;
  if (threads_.empty() || num_pieces == 1) {
    for (std::size_t i = 0; i < num_pieces; ++i) piece(context, i, 0);
    return;
  }
  piece_ = piece;
  context_ = context;
  num_pieces_ = num_pieces;
  next_.store(0, std::memory_order_relaxed);
  num_busy_.store(threads_.size(), std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  for (int spin = 0; num_busy_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void WorkerPool::work(std::size_t worker_idx) {
  for (std::size_t i = next_.fetch_add(1, std::memory_order_relaxed); i < num_pieces_;
       i = next_.fetch_add(1, std::memory_order_relaxed)) {
    piece_(context_, i, worker_idx);
  }
}

void WorkerPool::wait_for_work(std::size_t worker_idx) {
  std::uint64_t seen = 0;
  while (true) {
    int spin = 0;
    while (generation_.load(std::memory_order_acquire) == seen && !stop_) {
      if (++spin < kSpins) {
        pause_briefly();
        continue;
      }
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen || stop_; });
    }
    if (stop_) return;
    ++seen;
    work(worker_idx);
    num_busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace nvfp4
