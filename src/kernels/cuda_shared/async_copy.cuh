// Copies into shared memory that run beside the threads, and the barriers (mbarrier) that tell when they have landed.
// Addresses of shared memory are 32-bit, as the instructions take them.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// A phase of the barrier ends after `count` arrivals and all bytes that were announced.
__device__ __forceinline__ void init_barrier(std::uint32_t barrier, std::uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

// After init_barrier() and before the block's synchronisation: copies and other blocks see the barriers.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives and announces the bytes of bulk copies.
__device__ __forceinline__ void arrive_expecting(std::uint32_t barrier, std::uint32_t num_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(num_bytes) : "memory");
}

// Whether the phase of this parity has ended; may wait a little for it.
__device__ __forceinline__ bool try_barrier(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n.reg .pred done;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}

// The same without waiting.
__device__ __forceinline__ bool test_barrier(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n.reg .pred done;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}

// Returns when the phase of this parity has ended.
__device__ __forceinline__ void wait_barrier(std::uint32_t barrier, std::uint32_t parity) {
  while (!try_barrier(barrier, parity)) {
  }
}

// One contiguous copy by the copy engine; addresses and size are multiples of 16.
__device__ __forceinline__ void copy_bulk(std::uint32_t to, const void* from, std::uint32_t num_bytes,
                                          std::uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(num_bytes), "r"(barrier)
               : "memory");
}

// A box of a tensor by the copy engine; `map` is a CUtensorMap in a kernel's parameters. Where the box leaves the
// tensor, zeros; they count as bytes too.
__device__ __forceinline__ void copy_box(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y,
                                         std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(to),
      "l"(map), "r"(x), "r"(y), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_box(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y,
                                         std::uint32_t z, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];" ::"r"(to),
      "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
      : "memory");
}

// 16 bytes by this thread: the first `num_bytes` (0 or 16) from memory, the rest zeros.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, std::uint32_t num_bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(num_bytes) : "memory");
}

// Arrives once all earlier copy_16_bytes() of this thread have landed; one of the barrier's `count`.
__device__ __forceinline__ void arrive_when_copied(std::uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Shared memory that threads wrote before (copy_16_bytes() too) is what wgmma and bulk copies see afterwards.
__device__ __forceinline__ void publish_to_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace nvfp4::kernels
