#include "emulation/block.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>

#include "emulation/fault.h"
#include "emulation/planted_fault.h"
#include "emulation/program_symbols.h"

EmulatedPlace emulated_place;

namespace nvfp4::emulation {
namespace {

struct LaunchEnded {};  // thrown where no thread is running

uint3 place_in(const dim3& shape, std::uint32_t idx) {
  return {idx % shape.x, idx / shape.x % shape.y, idx / shape.x / shape.y};
}

}  // namespace

Block::Block() : clocks_(kMaxThreads) {}

std::string Block::kernel_name() const { return function_at(launch_->kernel); }

void Block::thread_main(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  Block& block = *thread.block;
  block.launch_->call(block.launch_->parameters.get());
  thread.state = State::kEnded;
  --block.num_alive_;
  block.note_progress();
  block.copies.end_thread(block);
  block.barriers.end_thread(block);
}

void Block::begin(const Launch& launch, LaunchOrder& order, std::uint32_t block_idx, Cluster* cluster) {
  launch_ = &launch;
  order_ = &order;
  cluster_ = cluster;
  block_idx_ = block_idx;
  num_threads_ = num_alive_ = launch.block.count();
  num_idle_passes_ = 0;
  has_failed_ = has_let_next_start_ = has_waited_ = false;
  shared.begin_block(launch.dynamic_bytes);
  meetings.begin_block();
  barriers.begin_block();
  copies.begin_block();
  products.begin_block();
  released_by_atomics.clear();
  while (threads_.size() < num_threads_) threads_.push_back(std::make_unique<Thread>());
  for (std::uint32_t i = 0; i < num_threads_; ++i) {
    Thread& thread = *threads_[i];
    thread.state = State::kReady;
    thread.block = this;
    thread.place = place_in(launch.block, i);
    thread.fiber.start(thread_main, &thread);
    clocks_[i] = {};
  }
  warp_order_.resize((num_threads_ + kWarpLanes - 1) / kWarpLanes);
  std::iota(warp_order_.begin(), warp_order_.end(), 0U);
}

void Block::enter() {
  blockIdx = place_in(launch_->grid, block_idx_);
  blockDim = launch_->block;
  gridDim = launch_->grid;
  shared.enter();
}

void Block::run_pass() {
  const std::uint64_t before = progress_;
  try {
    if (num_alive_ > 0) run_warps(num_idle_passes_ > 0);
    const bool is_idle = progress_ == before || num_alive_ == 0;
    if (!has_failed_ && copies.has_bulk() && (is_idle || random() % 4 == 0)) copies.land_one(*this);
  } catch (const LaunchEnded&) {
    has_failed_ = true;
  }
  num_idle_passes_ = progress_ == before ? num_idle_passes_ + 1 : 0;
}

void Block::end() {
  if (has_failed_) return;
  if (order_->must_wait && !has_waited_) report("ends without having waited for the kernels ahead", 0);
  if (has_let_next_start_) return;
  View view;
  if (has_waited_) view.learn_of_earlier_kernels();
  order_->let_next_start(view);
}

void Block::let_next_kernel_start() {
  if (!has_let_next_start_) order_->let_next_start(clock().view);
  has_let_next_start_ = true;
}

void Block::wait_for_earlier_kernels() {
  has_waited_ = true;
  if (!is_planted(PlantedFault::kNoWaitForKernels)) clock().view.learn_of_earlier_kernels();
}

// Unless all are asked for, now and then only some, so that they drift apart.
void Block::run_warps(bool all) {
  std::shuffle(warp_order_.begin(), warp_order_.end(), random);
  const std::size_t count = !all && random() % 4 == 0 ? 1 + random() % warp_order_.size() : warp_order_.size();
  for (std::size_t i = 0; i < count && !has_failed_; ++i) {
    turn_.first = warp_order_[i] * kWarpLanes;
    turn_.num_lanes = std::min(kWarpLanes, num_threads_ - turn_.first);
    turn_.shift = static_cast<std::uint32_t>(random() % 4 == 0 ? random() % turn_.num_lanes : 0);
    turn_.num_done = 0;
    while (!has_failed_ && has_next_lane()) {
      Fiber& fiber = begin_lane();
      running_ = this;
      fiber.resume();
      running_ = nullptr;
    }
  }
}

// Those lanes of the warp whose turn it is that can go on.
bool Block::has_next_lane() {
  for (; turn_.num_done < turn_.num_lanes; ++turn_.num_done) {
    const State state = threads_[next_thread()]->state;
    if (state == State::kReady || state == State::kYields) return true;
  }
  return false;
}

Fiber& Block::begin_lane() {
  thread_ = next_thread();
  ++turn_.num_done;
  Thread& thread = *threads_[thread_];
  if (thread.state == State::kReady) note_progress();
  threadIdx = thread.place;
  stack_ = thread.fiber.stack();
  return thread.fiber;
}

// Straight to the next lane if there is one.
void Block::suspend(State state, const char* what) {
  Thread& thread = *threads_[thread_];
  thread.state = state;
  thread.what = what;
  if (!has_failed_ && has_next_lane()) {
    thread.fiber.switch_to(begin_lane());
  } else {
    thread.fiber.suspend();
  }
}

void Block::wait(const char* what) { suspend(State::kWaits, what); }
void Block::yield(const char* what) { suspend(State::kYields, what); }

void Block::wake(std::uint32_t thread) {
  threads_[thread]->state = State::kReady;
  note_progress();
}

void Block::report(const std::string& text, std::uint32_t thread) const {
  report_fault("kernel " + kernel_name() + ", block " + std::to_string(block_idx_) + ": thread " +
               std::to_string(thread) + " " + text);
}

void Block::fail(std::string text) {
  report(text, thread_);
  std::string().swap(text);  // nothing on this stack is destroyed
  has_failed_ = true;
  if (running_ == nullptr) throw LaunchEnded();
  for (;;) wait("nothing");
}

void Block::report_deadlock() {
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> waiting;  // what -> first thread, number of threads
  std::uint32_t num_ended = 0;
  for (std::uint32_t i = 0; i < num_threads_; ++i) {
    if (threads_[i]->state == State::kEnded) {
      ++num_ended;
      continue;
    }
    ++waiting.try_emplace(threads_[i]->what, i, 0U).first->second.second;
  }
  std::string text = "kernel " + kernel_name() + ", block " + std::to_string(block_idx_) + ": nothing can go on:";
  for (const auto& [what, threads] : waiting) {
    text += " " + std::to_string(threads.second) + " threads (first " + std::to_string(threads.first) + ") wait at " +
            what + ",";
  }
  report_fault(text + " " + std::to_string(num_ended) + " have ended");
  has_failed_ = true;
}

}  // namespace nvfp4::emulation
