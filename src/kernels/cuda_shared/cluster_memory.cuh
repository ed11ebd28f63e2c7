// Blocks of one cluster: their barrier, and reading one another's shared memory. A grid that is one block needs no
// cluster, and devices without clusters get only such grids.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace nvfp4::kernels {

// What all threads wrote before is visible after the wait to those that arrived.
__device__ __forceinline__ void arrive_at_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (gridDim.x > 1) asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (gridDim.x > 1) asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
// Also for the threads of a single block.
__device__ __forceinline__ void synchronize_cluster() {
  if (gridDim.x == 1) {
    __syncthreads();
    return;
  }
  arrive_at_cluster();
  wait_for_cluster();
}

// The word at this block's shared address in block `rank` of the cluster.
__device__ __forceinline__ std::uint32_t load_from_cluster(const std::uint32_t* shared, std::uint32_t rank) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (gridDim.x > 1) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
    std::uint32_t remote;
    std::uint32_t value;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(remote) : "memory");
    return value;
  }
#endif
  (void)rank;
  return *shared;
}

}  // namespace nvfp4::kernels
