// Barriers in shared memory that count arrivals and bytes, and bulk copies that arrive at them. Addresses are those of
// shared memory; a barrier has 8 bytes.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void init_barrier(std::uint32_t barrier, std::uint32_t num_arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(num_arrivals) : "memory");
}
// To the copy engine; the block's threads see the barriers after __syncthreads().
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Arrives, and makes the phase wait for that many bytes of copies besides.
__device__ __forceinline__ void arrive_with_bytes(std::uint32_t barrier, std::uint32_t num_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(num_bytes) : "memory");
}
// Until the phase of that parity is over. A new barrier is in a phase of parity 0, as if one of parity 1 were over.
__device__ __forceinline__ void wait(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred over;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n@!over bra again;\n}" ::
          "r"(barrier),
      "r"(parity)
      : "memory");
}

// A multiple of 16 bytes, both sides aligned to 16, from global memory.
__device__ __forceinline__ void copy_bulk(std::uint32_t to, const void* from, std::uint32_t num_bytes,
                                          std::uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(num_bytes), "r"(barrier)
               : "memory");
}

// 16 bytes by the thread itself; is_there false: zeros. close_copies() ends a group of the thread's copies.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, bool is_there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(is_there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ __forceinline__ void wait_for_all_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
template <std::uint32_t kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

inline constexpr std::uint32_t kMaxCopyGroups = 8;

// Until all but the thread's last num_groups - 1 groups are done.
__device__ __forceinline__ void wait_for_oldest_copies(std::uint32_t num_groups) {
  switch (num_groups) {
    case 1:
      return wait_for_copies<0>();
    case 2:
      return wait_for_copies<1>();
    case 3:
      return wait_for_copies<2>();
    case 4:
      return wait_for_copies<3>();
    case 5:
      return wait_for_copies<4>();
    case 6:
      return wait_for_copies<5>();
    case 7:
      return wait_for_copies<6>();
    default:
      return wait_for_copies<7>();
  }
}

// By a warp, 16 bytes a lane.
__device__ __forceinline__ void copy_by_warp(std::uint32_t to, const std::uint8_t* from, std::uint32_t num_bytes) {
#pragma unroll 1
  for (std::uint32_t at = threadIdx.x % 32 * 16; at < num_bytes; at += 512) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + at), "l"(from + at) : "memory");
  }
}

// A barrier of whole warps; id 0 is that of __syncthreads().
__device__ __forceinline__ void sync_warps(std::uint32_t id, std::uint32_t num_threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(num_threads) : "memory");
}

// Asks for nothing, but is done where it stands: what depends on the value cannot be done before.
__device__ __forceinline__ void pin(std::uint32_t& value) { asm volatile("" : "+r"(value)); }
// Whoever reads a kernel's parameters first waits for them: better before the kernels ahead have ended.
template <class Parameters>
__device__ __forceinline__ void touch_parameters(const Parameters& parameters) {
  const auto* const words = reinterpret_cast<const std::uint32_t*>(&parameters);
#pragma unroll
  for (std::uint32_t i = 0; i < sizeof(Parameters) / 4; i += 8) asm volatile("" ::"r"(words[i]));
}
__device__ __forceinline__ void pin(float& value) { asm volatile("" : "+f"(value)); }

}  // namespace nvfp4::kernels::cuda_sm90
