#include "base/worker_pool.h"

#include <cassert>
#include <system_error>

namespace nvfp4 {
namespace {

// About 20 us: the pause between two operations of a model. A waiting thread then sleeps.
constexpr int kSpins = 2000;
constexpr std::uint64_t kPieceMask = 0xFFFFFFFFULL;
constexpr std::uint64_t kGenerationMask = 0xFFFFFFFFULL;

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
    state_.fetch_add(1ULL << 32U, std::memory_order_release);
  }
  wake_.notify_all();
  threads_.clear();  // joins while what they wait on is still there
}

void WorkerPool::run_pieces(std::size_t num_pieces, Piece piece, void* context) {
  if (threads_.empty() || num_pieces <= 1) {
    for (std::size_t i = 0; i < num_pieces; ++i) piece(context, i, 0);
    return;
  }
  assert(num_pieces < 1ULL << 32U);
  piece_ = piece;
  context_ = context;
  num_pieces_ = num_pieces;
  num_done_.store(0, std::memory_order_relaxed);
  const std::uint64_t generation = (state_.load(std::memory_order_relaxed) >> 32U) + 1;
  // Sequentially consistent, as num_sleeping_ is: either this sees the sleeper, or the sleeper sees the work.
  state_.store(generation << 32U | num_pieces, std::memory_order_seq_cst);
  if (num_sleeping_.load(std::memory_order_seq_cst) != 0) {
    {
      const std::lock_guard lock(mutex_);
    }
    wake_.notify_all();
  }
  work(generation & kGenerationMask, 0);
  for (int spin = 0; num_done_.load(std::memory_order_acquire) != num_pieces; ++spin) {
    if (spin < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void WorkerPool::work(std::uint64_t generation, std::size_t worker_idx) {
  std::uint64_t state = state_.load(std::memory_order_acquire);
  while (state >> 32U == generation && (state & kPieceMask) != 0) {
    if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acquire)) continue;
    // The call lasts until this piece is done.
    piece_(context_, num_pieces_ - (state & kPieceMask), worker_idx);
    num_done_.fetch_add(1, std::memory_order_release);
    state = state_.load(std::memory_order_acquire);
  }
}

void WorkerPool::wait_for_work(std::size_t worker_idx) {
  std::uint64_t seen = 0;
  while (true) {
    const auto has_news = [&] { return state_.load(std::memory_order_seq_cst) >> 32U != seen; };
    for (int spin = 0; spin < kSpins && !has_news(); ++spin) pause_briefly();
    if (!has_news()) {
      std::unique_lock lock(mutex_);
      num_sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, has_news);
      num_sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    seen = state_.load(std::memory_order_acquire) >> 32U;
    if (stop_.load(std::memory_order_relaxed)) return;
    work(seen, worker_idx);
  }
}

}  // namespace nvfp4
