// Barriers of a block: the numbered ones, and those that lie in shared memory (mbarrier).
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "emulation/clock.h"

namespace nvfp4::emulation {

class Block;

class Barriers {
 public:
  static constexpr std::uint32_t kAllThreads = 0;

  void begin_block() { numbered_.clear(), in_memory_.clear(); }

  // Barrier `id`, which `count` threads come to; kAllThreads: all that have not ended. With waits, returns when they
  // have.
  void synchronize(Block& block, std::uint32_t id, std::uint32_t count, bool waits);
  // The running thread comes to nothing any more.
  void end_thread(Block& block);

  // mbarrier at a shared address. Each phase takes `count` arrivals and all bytes that were announced. Whoever uses it
  // must be behind its initialisation; copies need it to be published by the thread that initialised it.
  void init(Block& block, std::uint32_t address, std::uint32_t count);
  void publish(const Block& block);
  void check(Block& block, std::uint32_t address) { static_cast<void>(use(block, address)); }
  void check_published(Block& block, std::uint32_t address);
  void arrive(Block& block, std::uint32_t address, std::uint32_t announced_bytes);
  // `from`: what was done before it. By copies, which are no arrivals, and by arrivals that follow copies.
  void complete_bytes(Block& block, std::uint32_t address, std::uint32_t num_bytes, const View& from);
  void arrive_with(Block& block, std::uint32_t address, const View& from);
  // Has the phase of this parity ended? try_wait() returns when a phase has.
  [[nodiscard]] bool test(Block& block, std::uint32_t address, std::uint32_t parity);
  [[nodiscard]] bool try_wait(Block& block, std::uint32_t address, std::uint32_t parity);

 private:
  struct Numbered {
    std::vector<std::uint32_t> arrived;  // threads
    std::vector<std::uint32_t> waiting;
    std::uint32_t count = kAllThreads;
  };
  struct InMemory {
    std::uint32_t count = 0;
    std::uint32_t owner = 0;        // the thread that initialised it
    std::uint32_t owner_clock = 0;  // when it did
    bool is_published = false;
    std::int64_t pending_arrivals = 0;
    std::int64_t pending_bytes = 0;
    std::uint32_t phase = 0;
    View arriving;
    View completed;
    std::vector<std::uint32_t> waiting;  // threads
  };
  InMemory& at(Block& block, std::uint32_t address);
  // By the running thread, which changes it.
  InMemory& use(Block& block, std::uint32_t address);
  static void end_phase_if_complete(Block& block, InMemory& barrier);
  static void complete_if_all_came(Block& block, Numbered& barrier);

  std::map<std::uint32_t, Numbered> numbered_;
  std::map<std::uint32_t, InMemory> in_memory_;
};

}  // namespace nvfp4::emulation
