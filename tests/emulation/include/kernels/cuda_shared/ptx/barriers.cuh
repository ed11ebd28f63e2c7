// The header of the same name, for the host.
#pragma once

#include <cstdint>

#include "emulation/block.h"
#include "emulation/warp_operations.h"

namespace nvfp4::kernels {

inline void init_barrier(std::uint32_t barrier, std::uint32_t count) {
  emulation::Block& block = *emulation::Block::running();
  block.barriers.init(block, barrier, count);
}
inline void publish_barriers() {
  emulation::Block& block = *emulation::Block::running();
  block.barriers.publish(block);
}
inline void arrive(std::uint32_t barrier) {
  emulation::Block& block = *emulation::Block::running();
  block.barriers.arrive(block, barrier, 0);
}
inline void arrive_expecting(std::uint32_t barrier, std::uint32_t num_bytes) {
  emulation::Block& block = *emulation::Block::running();
  block.barriers.arrive(block, barrier, num_bytes);
}
inline bool try_barrier(std::uint32_t barrier, std::uint32_t parity) {
  emulation::Block& block = *emulation::Block::running();
  return block.barriers.try_wait(block, barrier, parity);
}
inline bool test_barrier(std::uint32_t barrier, std::uint32_t parity) {
  emulation::Block& block = *emulation::Block::running();
  return block.barriers.test(block, barrier, parity);
}
inline void wait_in_loop(std::uint32_t barrier, std::uint32_t parity) {
  while (!try_barrier(barrier, parity)) {
  }
}
inline void sync_warps(std::uint32_t id, std::uint32_t num_threads) {
  emulation::synchronize_numbered(id, num_threads);
}

}  // namespace nvfp4::kernels
