// Blocks of one cluster: their barrier, and reading one another's shared memory. A grid that is one block needs no
// cluster, and devices without clusters get only such grids.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_shared/ptx/grids.cuh"

namespace nvfp4::kernels {

// What all threads wrote before is visible after the wait to those that arrived.
__device__ __forceinline__ void arrive_at_cluster() {
  if (gridDim.x > 1) arrive_at_cluster_barrier();
}
__device__ __forceinline__ void wait_for_cluster() {
  if (gridDim.x > 1) wait_for_cluster_barrier();
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
  if (gridDim.x > 1) return load_from_block(static_cast<std::uint32_t>(__cvta_generic_to_shared(shared)), rank);
  return *shared;
}

}  // namespace nvfp4::kernels
