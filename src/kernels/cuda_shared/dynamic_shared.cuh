// The shared memory that a launch asks for.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

// Its first byte, a multiple of 1024.
__device__ __forceinline__ std::uint8_t* dynamic_shared() {
  extern __shared__ __align__(1024) std::uint8_t of_launch[];
  return of_launch;
}

}  // namespace nvfp4::kernels
