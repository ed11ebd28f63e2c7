// Copies into shared memory that run beside the threads.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

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

// The same of what is read once: it is the first to leave the L2 cache, which keeps what others will read.
#define NVFP4_READ_ONCE ".reg .b64 policy;\ncreatepolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
__device__ __forceinline__ void copy_bulk_once(std::uint32_t to, const void* from, std::uint32_t num_bytes,
                                               std::uint32_t barrier) {
  asm volatile(
      "{\n" NVFP4_READ_ONCE
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], policy;\n"
      "}" ::"r"(to),
      "l"(from), "r"(num_bytes), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_box_once(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y,
                                              std::uint32_t z, std::uint32_t barrier) {
  asm volatile("{\n" NVFP4_READ_ONCE
               "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint"
               " [%0], [%1, {%2, %3, %4}], [%5], policy;\n}" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
               : "memory");
}

// 16 bytes by this thread: the first `num_bytes` (0 or 16) from memory, the rest zeros.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, std::uint32_t num_bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(num_bytes) : "memory");
}

// The same from the offset-th of 16-bit numbers.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const std::uint16_t* from, std::uint32_t offset,
                                              std::uint32_t num_bytes) {
  asm volatile(
      "{\n.reg .b64 place;\nmad.wide.u32 place, %1, 2, %2;\ncp.async.cg.shared.global [%0], [place], 16, %3;\n}" ::"r"(
          to),
      "r"(offset), "l"(from), "r"(num_bytes)
      : "memory");
}

// The same, all of them from memory.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

__device__ __forceinline__ void copy_16_bytes_once(std::uint32_t to, const void* from) {
  asm volatile("{\n" NVFP4_READ_ONCE "cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, policy;\n}" ::"r"(to),
               "l"(from)
               : "memory");
}
#undef NVFP4_READ_ONCE

// Arrives once all earlier copy_16_bytes() of this thread have landed; one of the barrier's `count`.
__device__ __forceinline__ void arrive_when_copied(std::uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Shared memory that threads wrote before (copy_16_bytes() too) is what wgmma and bulk copies see afterwards.
__device__ __forceinline__ void publish_to_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// The copies of this thread (copy_16_bytes()) since the last call are a group.
__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Returns when at most kNewest groups of this thread have not landed, the newest ones.
template <int kNewest>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}

// Returns when all copies of this thread have landed, also those of no group.
__device__ __forceinline__ void wait_for_all_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace nvfp4::kernels
