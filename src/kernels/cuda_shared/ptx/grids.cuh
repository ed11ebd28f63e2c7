// Kernels of a stream that overlap, and blocks of a cluster. Where a device has neither, nothing.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

// The next kernel of the stream may be started once every block has called this or ended.
__device__ __forceinline__ void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Returns when the kernels ahead in the stream have ended and what they wrote can be read. Every kernel that is
// launched as a dependent one must call it before it ends.
__device__ __forceinline__ void wait_for_earlier_kernels() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// What all threads of the cluster wrote before is visible after the wait to those that arrived.
__device__ __forceinline__ void arrive_at_cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// Counts an arrival, among blocks; those that came before. What the threads of all that arrived had written, or saw
// behind a barrier of their block, is visible after it.
__device__ __forceinline__ std::uint32_t count_arrival(std::uint32_t* counter) {
  std::uint32_t before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
  return before;
}

// This shared address of block `rank` of the cluster, for load_float_of_cluster(). Both since sm_90.
__device__ __forceinline__ std::uint32_t address_in_block(std::uint32_t address, std::uint32_t rank) {
  std::uint32_t remote;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  return remote;
}
__device__ __forceinline__ float load_float_of_cluster(std::uint32_t address) {
  float value;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}

// The word at this shared address of block `rank` of the cluster.
__device__ __forceinline__ std::uint32_t load_from_block(std::uint32_t address, std::uint32_t rank) {
  std::uint32_t value = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  std::uint32_t remote;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(remote) : "memory");
#else
  static_cast<void>(address);
  static_cast<void>(rank);
#endif
  return value;
}

}  // namespace nvfp4::kernels
