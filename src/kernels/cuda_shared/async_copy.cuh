// Copies into shared memory that run beside the threads, and the barriers (mbarrier) that tell when they have landed.
// Addresses of shared memory are 32-bit, as the instructions take them.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/ptx/barriers.cuh"
#include "kernels/cuda_shared/ptx/copies.cuh"

namespace nvfp4::kernels {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// Returns when the phase of this parity has ended.
__device__ __forceinline__ void wait_barrier(std::uint32_t barrier, std::uint32_t parity) {
  while (!try_barrier(barrier, parity)) {
  }
}

}  // namespace nvfp4::kernels
