#include "base/worker_pool.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <climits>
#include <system_error>

#include "base/cpu_topology.h"

namespace nvfp4 {
namespace {

// The pause between two operations of a model. A waiting thread then sleeps.
constexpr std::chrono::microseconds kSpinTime{50};
constexpr int kPausesPerLook = 16;  // at the clock
// To wake a thread takes microseconds: whoever was woken wakes as many more.
constexpr int kMaxWakes = 4;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until done() or until the time is over; says which.
template <class Done>
bool spin_until(std::chrono::nanoseconds time, Done&& done) {
  if (done()) return true;
  if (time.count() == 0) return false;
  const auto deadline = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      pause_briefly();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void sleep_while_equal(std::atomic<std::uint32_t>& value, std::uint32_t expected) {
  ::syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void wake_sleepers(std::atomic<std::uint32_t>& value, int max_count) {
  ::syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, max_count, nullptr, nullptr, 0);
}

constexpr std::uint64_t pack(std::uint64_t begin, std::uint64_t end) { return begin | end << 32U; }
constexpr std::uint64_t begin_of(std::uint64_t pieces) { return pieces & 0xFFFFFFFFULL; }
constexpr std::uint64_t end_of(std::uint64_t pieces) { return pieces >> 32U; }
constexpr std::uint64_t count_of(std::uint64_t pieces) { return end_of(pieces) - begin_of(pieces); }

}  // namespace

WorkerPool::WorkerPool(std::size_t num_workers)
    : num_shares_(std::max<std::size_t>(1, num_workers)), shares_(new Share[num_shares_]) {
  if (num_shares_ == 1) return;
  const auto places = place_workers(allowed_cpus(), num_shares_);
  if (!places.empty()) spin_time_ = kSpinTime;  // otherwise a thread that spins keeps another one from its work
  try {
    while (threads_.size() + 1 < num_shares_) {
      const std::size_t worker_idx = threads_.size() + 1;
      threads_.emplace_back([this, worker_idx, place = places.empty() ? std::vector<unsigned>() : places[worker_idx]] {
        set_affinity(place);  // a wish: it works anywhere
        wait_for_work(worker_idx);
      });
    }
  } catch (const std::system_error&) {
    // No more threads to be had: those that started do the work.
  }
}

WorkerPool::~WorkerPool() {
  stop_.store(true, std::memory_order_relaxed);
  call_.fetch_add(1, std::memory_order_seq_cst);
  if (num_sleeping_.load(std::memory_order_seq_cst) != 0) wake_sleepers(call_, INT_MAX);
  threads_.clear();  // joins while what they wait on is still there
}

void WorkerPool::run_pieces(std::size_t num_pieces, Piece piece, void* context) {
  if (threads_.empty() || num_pieces <= 1) {
    for (std::size_t i = 0; i < num_pieces; ++i) piece(context, i, 0);
    return;
  }
  assert(num_pieces < 1ULL << 32U);
  const std::size_t num_workers = this->num_workers();
  num_done_.store(0, std::memory_order_relaxed);
  num_to_wake_.store(static_cast<int>(std::min(num_pieces, num_workers)) - 1, std::memory_order_relaxed);
  // Rounded up: when there are fewer pieces than workers, the caller has one of them.
  for (std::size_t w = 0, begin = 0; w < num_workers; ++w) {
    const std::size_t end = ((w + 1) * num_pieces + num_workers - 1) / num_workers;
    shares_[w].piece = piece;
    shares_[w].context = context;
    shares_[w].pieces.store(pack(begin, end), std::memory_order_release);
    begin = end;
  }
  // Sequentially consistent, as num_sleeping_ is: either this sees the sleeper, or the sleeper sees the call.
  call_.fetch_add(1, std::memory_order_seq_cst);
  if (num_sleeping_.load(std::memory_order_seq_cst) != 0) {
    wake_some();
  }
  work(0);
  const auto all_done = [&] { return num_done_.load(std::memory_order_acquire) == num_pieces; };
  if (spin_until(spin_time_, all_done)) return;
  while (!all_done()) std::this_thread::yield();  // a helper that holds a piece may need this core
}

// Counts what is done before it looks for more: the caller may wait for nothing else.
void WorkerPool::work(std::size_t worker_idx) {
  Share& own = shares_[worker_idx];
  std::size_t num_done = 0;
  std::uint64_t pieces = own.pieces.load(std::memory_order_acquire);
  while (count_of(pieces) != 0) {
    if (!own.pieces.compare_exchange_weak(pieces, pack(begin_of(pieces) + 1, end_of(pieces)),
                                          std::memory_order_acquire)) {
      continue;
    }
    own.piece(own.context, begin_of(pieces), worker_idx);
    ++num_done;
    pieces = own.pieces.load(std::memory_order_acquire);
  }
  if (num_done != 0) num_done_.fetch_add(num_done, std::memory_order_release);
  while (steal(worker_idx)) {
  }
}

// Does the last piece of the worker with most left; false when there are none.
bool WorkerPool::steal(std::size_t worker_idx) {
  Share* victim = nullptr;
  std::uint64_t victims_pieces = 0;
  for (std::size_t i = 1; i < num_shares_; ++i) {
    Share& other = shares_[(worker_idx + i) % num_shares_];
    const std::uint64_t pieces = other.pieces.load(std::memory_order_relaxed);
    if (count_of(pieces) > count_of(victims_pieces)) {
      victim = &other;
      victims_pieces = pieces;
    }
  }
  if (victim == nullptr) return false;
  const std::uint64_t last = end_of(victims_pieces) - 1;
  if (victim->pieces.compare_exchange_strong(victims_pieces, pack(begin_of(victims_pieces), last),
                                             std::memory_order_acquire, std::memory_order_relaxed)) {
    victim->piece(victim->context, last, worker_idx);
    num_done_.fetch_add(1, std::memory_order_release);
  }
  return true;
}

void WorkerPool::wake_some() {
  const int num_to_wake = num_to_wake_.fetch_sub(kMaxWakes, std::memory_order_relaxed);
  if (num_to_wake > 0) wake_sleepers(call_, std::min(num_to_wake, kMaxWakes));
}

void WorkerPool::wait_for_work(std::size_t worker_idx) {
  std::uint32_t seen = 0;
  while (true) {
    const auto has_news = [&] { return call_.load(std::memory_order_seq_cst) != seen; };
    if (!spin_until(spin_time_, has_news)) {
      num_sleeping_.fetch_add(1, std::memory_order_seq_cst);
      while (!has_news()) sleep_while_equal(call_, seen);
      if (num_sleeping_.fetch_sub(1, std::memory_order_relaxed) > 1) wake_some();
    }
    seen = call_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    work(worker_idx);
  }
}

}  // namespace nvfp4
