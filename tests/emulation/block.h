// One block: its threads, each on a fiber of its own, and who runs next. One thread runs at a time, warp after warp in
// an order that changes, until it waits for others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "emulation/async_copies.h"
#include "emulation/barriers.h"
#include "emulation/clock.h"
#include "emulation/dimensions.h"
#include "emulation/fiber.h"
#include "emulation/launch_order.h"
#include "emulation/shared_memory.h"
#include "emulation/warp_meeting.h"
#include "emulation/wide_products.h"

namespace nvfp4::emulation {

inline constexpr std::uint32_t kMaxThreads = 1024;
inline constexpr std::uint32_t kWarpLanes = 32;

// What all blocks of a launch have in common.
struct Launch {
  const void* kernel = nullptr;
  void (*call)(const void* parameters) = nullptr;
  std::shared_ptr<const void> parameters;
  std::size_t parameter_bytes = 0;
  dim3 grid;
  dim3 block;
  std::size_t dynamic_bytes = 0;
  std::uint32_t cluster = 1;  // blocks
  bool may_overlap = false;   // with the kernel ahead in the stream
};

class Cluster;

class Block {
 public:
  Block();

  // The block whose thread is running; null in code of the host.
  [[nodiscard]] static Block* running() { return running_; }

  // A new block. Its threads run in passes, between enter() and leave(), until they have ended or something was found
  // that ends the launch; one block at a time has entered.
  void begin(const Launch& launch, LaunchOrder& order, std::uint32_t block_idx, Cluster* cluster);
  void enter();
  void run_pass();
  void leave() { shared.leave(); }
  // After the last pass.
  void end();
  [[nodiscard]] bool has_ended() const { return has_failed_ || (num_alive_ == 0 && !copies.has_bulk()); }
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  // Passes in which nothing went on, since something did.
  [[nodiscard]] std::uint32_t num_idle_passes() const { return num_idle_passes_; }
  void report_deadlock();

  [[nodiscard]] std::uint32_t block_idx() const { return block_idx_; }
  [[nodiscard]] std::uint32_t num_threads() const { return num_threads_; }
  [[nodiscard]] std::uint32_t num_alive() const { return num_alive_; }
  [[nodiscard]] std::uint32_t thread() const { return thread_; }  // that is running
  [[nodiscard]] bool is_on_stack(const void* address) const {
    return static_cast<std::size_t>(static_cast<const char*>(address) - stack_) < Fiber::kStackBytes;
  }
  [[nodiscard]] bool is_parameter(const void* address) const {
    const auto* const first = static_cast<const std::byte*>(launch_->parameters.get());
    return address >= first && address < first + launch_->parameter_bytes;
  }
  [[nodiscard]] std::string kernel_name() const;
  [[nodiscard]] const LaunchOrder& order() const { return *order_; }
  [[nodiscard]] Cluster* cluster() const { return cluster_; }

  // By the running thread.
  void let_next_kernel_start();
  void wait_for_earlier_kernels();

  // By the running thread: until wake(), or until the others had their turn. `what` says what for.
  void wait(const char* what);
  void yield(const char* what);
  void wake(std::uint32_t thread);
  void note_progress() { ++progress_; }
  // Reports a fault of the running thread, which ends the launch; does not return.
  [[noreturn]] void fail(std::string text);
  // Begins with kernel, block and thread.
  void report(const std::string& text, std::uint32_t thread) const;

  [[nodiscard]] std::span<ThreadClock> clocks() { return {clocks_.data(), num_threads_}; }
  [[nodiscard]] ThreadClock& clock() { return clocks_[thread_]; }

  SharedMemory shared;
  WarpMeetings meetings;
  Barriers barriers;
  AsyncCopies copies;
  WideProducts products;
  std::map<const void*, View> released_by_atomics;  // on shared memory: what had been fenced before
  std::mt19937_64 random{1};

 private:
  enum class State : std::uint8_t { kReady, kYields, kWaits, kEnded };
  struct Thread {
    Fiber fiber;
    State state = State::kEnded;
    const char* what = "";
    Block* block = nullptr;
    uint3 place{};
  };
  // The warp that runs: its lanes in their order, from lane `shift` on.
  struct Turn {
    std::uint32_t first = 0, num_lanes = 0, shift = 0, num_done = 0;
  };

  static void thread_main(void* argument);
  void run_warps(bool all);
  [[nodiscard]] bool has_next_lane();
  [[nodiscard]] std::uint32_t next_thread() const {
    const std::uint32_t lane = turn_.num_done + turn_.shift;
    return turn_.first + (lane < turn_.num_lanes ? lane : lane - turn_.num_lanes);
  }
  Fiber& begin_lane();
  void suspend(State state, const char* what);

  static inline Block* running_ = nullptr;

  const Launch* launch_ = nullptr;
  LaunchOrder* order_ = nullptr;
  Cluster* cluster_ = nullptr;
  const char* stack_ = nullptr;  // of the running thread
  std::uint32_t block_idx_ = 0;
  std::uint32_t num_threads_ = 0;
  std::uint32_t num_alive_ = 0;
  std::uint32_t thread_ = 0;
  std::uint64_t progress_ = 0;
  std::uint32_t num_idle_passes_ = 0;
  bool has_failed_ = false;
  bool has_let_next_start_ = false;
  bool has_waited_ = false;  // for the kernels ahead
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<ThreadClock> clocks_;
  std::vector<std::uint32_t> warp_order_;
  Turn turn_;
};

}  // namespace nvfp4::emulation
