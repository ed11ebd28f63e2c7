// Pairs of BF16 numbers in one register.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels::cuda_sm80 {

__device__ __forceinline__ std::uint32_t pack_pair(float low, float high) {
  const __nv_bfloat162 rounded = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&rounded);
}

// Products, subnormals kept; as a sum with -0, since sm_80 has no multiplication.
__device__ __forceinline__ std::uint32_t multiply_pairs(std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t kMinusZeros = 0x80008000U;
  return fuse_pairs(a, b, kMinusZeros);
}

}  // namespace nvfp4::kernels::cuda_sm80
