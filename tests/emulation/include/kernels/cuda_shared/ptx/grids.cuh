// The header of the same name, for the host: one kernel runs at a time, and no clusters.
#pragma once

#include <cstdint>

#include "emulation/block.h"

namespace nvfp4::kernels {

inline void let_next_kernel_start() {}
inline void wait_for_earlier_kernels() {}
inline void arrive_at_cluster_barrier() { emulation::Block::running()->fail("waits for a cluster"); }
inline void wait_for_cluster_barrier() { emulation::Block::running()->fail("waits for a cluster"); }
inline std::uint32_t load_from_block(std::uint32_t /*address*/, std::uint32_t /*rank*/) {
  emulation::Block::running()->fail("reads another block of a cluster");
}

}  // namespace nvfp4::kernels
