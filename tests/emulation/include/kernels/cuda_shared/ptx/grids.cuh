// The header of the same name, for the host.
#pragma once

#include <cstdint>

#include "emulation/block.h"
#include "emulation/cluster.h"
#include "emulation/device_functions.h"

namespace nvfp4::kernels {

inline void let_next_kernel_start() { emulation::Block::running()->let_next_kernel_start(); }
inline void wait_for_earlier_kernels() { emulation::Block::running()->wait_for_earlier_kernels(); }
inline void arrive_at_cluster_barrier() {
  emulation::Block& block = *emulation::Block::running();
  block.cluster()->arrive(block);
}
inline void wait_for_cluster_barrier() {
  emulation::Block& block = *emulation::Block::running();
  block.cluster()->wait(block);
}
inline std::uint32_t count_arrival(std::uint32_t* counter) {
  emulation::fence(emulation::FenceScope::kDevice);
  const std::uint32_t before = atomicAdd(counter, 1U);
  emulation::fence(emulation::FenceScope::kDevice);
  return before;
}
// The rank in the highest three bits: no shared address has them.
inline std::uint32_t address_in_block(std::uint32_t address, std::uint32_t rank) { return rank << 29U | address; }
inline float load_float_of_cluster(std::uint32_t address) {
  emulation::Block& block = *emulation::Block::running();
  constexpr std::uint32_t kAddressBits = (1U << 29U) - 1;
  return __uint_as_float(
      block.cluster()->load(block, address & kAddressBits, address >> 29U, __builtin_return_address(0)));
}
inline std::uint32_t load_from_block(std::uint32_t address, std::uint32_t rank) {
  emulation::Block& block = *emulation::Block::running();
  return block.cluster()->load(block, address, rank, __builtin_return_address(0));
}

}  // namespace nvfp4::kernels
