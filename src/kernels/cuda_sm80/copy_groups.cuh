// Groups of the copies of a thread (copy_16_bytes): those since the last call of end_copies() are one.
#pragma once

namespace nvfp4::kernels::cuda_sm80 {

__device__ __forceinline__ void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Returns when at most kNewest groups of this thread have not landed, the newest ones.
template <int kNewest>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}

}  // namespace nvfp4::kernels::cuda_sm80
