// Pairs of BF16 numbers in one register.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace nvfp4::kernels::cuda_sm80 {

__device__ __forceinline__ std::uint32_t pack_pair(float low, float high) {
  const __nv_bfloat162 rounded = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&rounded);
}

// Products, subnormals kept; as a sum with -0, since sm_80 has no multiplication.
__device__ __forceinline__ std::uint32_t multiply_pairs(std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t kMinusZeros = 0x80008000U;
  std::uint32_t product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(kMinusZeros));
  return product;
}

// Transposes an 8x8 matrix of 16-bit numbers: lane 4 g + t holds row g, columns 2t and 2t + 1, before and after.
__device__ __forceinline__ std::uint32_t transpose_pairs(std::uint32_t pair) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(pair));
  return transposed;
}

}  // namespace nvfp4::kernels::cuda_sm80
