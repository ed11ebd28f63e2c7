// Blocks of one grid that run at once and see one another's shared memory. A block by itself is one, too.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "emulation/block.h"

namespace nvfp4::emulation {

class Cluster {
 public:
  // Runs blocks [first, first + launch.cluster) to their ends; false when something was found that ends the launch.
  [[nodiscard]] bool run(const Launch& launch, LaunchOrder& order, std::uint32_t first);

  // By the running thread: it comes to the barrier of all threads; it waits for them.
  void arrive(Block& block);
  void wait(Block& block);
  // The word at a shared address of block `rank`.
  [[nodiscard]] std::uint32_t load(Block& block, std::uint32_t address, std::uint32_t rank, const void* code);

 private:
  [[nodiscard]] bool run_blocks(std::uint32_t count);
  void end_phase_if_complete(Block& block);

  std::vector<std::unique_ptr<Block>> blocks_;
  std::uint32_t num_blocks_ = 0;
  std::uint32_t first_ = 0;
  // The barrier.
  std::uint32_t phase_ = 0;
  std::uint32_t num_arrived_ = 0;
  View arriving_;
  View completed_;
  std::vector<std::vector<std::uint32_t>> arrivals_;  // of the blocks' threads: the phase that each came to last, + 1
  std::mt19937_64 random_{1};
};

}  // namespace nvfp4::emulation
