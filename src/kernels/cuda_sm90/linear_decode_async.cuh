// Copies of a warp into shared memory, in groups, one after the other.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels::cuda_sm90 {

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

// Until the oldest group has landed, of num_later + 1.
__device__ __forceinline__ void wait_for_first_copies(std::uint32_t num_later) {
  static_assert(kMaxCopyGroups == 8);
  if (num_later == kMaxCopyGroups) return wait_for_copies<8>();
  wait_for_oldest_copies(num_later + 1);
}

// By a warp, 16 bytes a lane, of what is read once.
__device__ __forceinline__ void copy_by_warp(std::uint32_t to, const std::uint8_t* from, std::uint32_t num_bytes) {
#pragma unroll 1
  for (std::uint32_t at = threadIdx.x % 32 * 16; at < num_bytes; at += 512) {
    copy_16_bytes_once(to + at, from + at);
  }
}

// Whoever reads a kernel's parameters first waits for them: better before the kernels ahead have ended.
template <class Parameters>
__device__ __forceinline__ void touch_parameters(const Parameters& parameters) {
  const auto* const words = reinterpret_cast<const std::uint32_t*>(&parameters);
#pragma unroll
  for (std::uint32_t i = 0; i < sizeof(Parameters) / 4; i += 8) need(words[i]);
}

}  // namespace nvfp4::kernels::cuda_sm90
