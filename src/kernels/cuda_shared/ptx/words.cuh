// Operations on single words that the compiler has no function for, and loads of a special kind.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "formats/e2m1.h"
#include "kernels/cuda_shared/ptx/features.cuh"

namespace nvfp4::kernels {

// Two BF16 numbers times the low or the high half of a pair, subnormals kept. Before sm_90 there is no product: a sum
// with -0.
template <bool kHigh>
__device__ __forceinline__ std::uint32_t multiply_by_half(std::uint32_t a, std::uint32_t pair) {
  std::uint32_t product;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  if constexpr (kHigh) {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {h, h}; fma.rn.bf16x2 %0, %1, s, %3;}"
        : "=r"(product)
        : "r"(a), "r"(pair), "r"(0x80008000U));
  } else {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {l, l}; fma.rn.bf16x2 %0, %1, s, %3;}"
        : "=r"(product)
        : "r"(a), "r"(pair), "r"(0x80008000U));
  }
#else
  if constexpr (kHigh) {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {h, h}; mul.rn.bf16x2 %0, %1, s;}"
        : "=r"(product)
        : "r"(a), "r"(pair));
  } else {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {l, l}; mul.rn.bf16x2 %0, %1, s;}"
        : "=r"(product)
        : "r"(a), "r"(pair));
  }
#endif
  return product;
}

// The bits of a where mask has a one, else those of b: one operation, which the compiler does not find.
__device__ __forceinline__ std::uint32_t select_bits(std::uint32_t mask, std::uint32_t a, std::uint32_t b) {
  std::uint32_t selected;
  asm("lop3.b32 %0, %1, %2, %3, 0xE4;" : "=r"(selected) : "r"(a), "r"(b), "r"(mask));
  return selected;
}

// a * b + c of two BF16 numbers each, with one rounding; subnormals kept.
__device__ __forceinline__ std::uint32_t fuse_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}

// The larger of two numbers; NaN if one of them is.
__device__ __forceinline__ float larger_or_nan(float a, float b) {
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
}

// Does nothing, but where it stands: what depends on the value cannot be done before.
__device__ __forceinline__ void pin(std::uint32_t& value) { asm volatile("" : "+r"(value)); }
__device__ __forceinline__ void pin(float& value) { asm volatile("" : "+f"(value)); }
// Likewise: the value is there afterwards.
__device__ __forceinline__ void need(std::uint32_t value) { asm volatile("" ::"r"(value)); }

// E2M1 codes of two numbers, the first one's in the low nibble: nearest, ties to even, saturating.
__device__ __forceinline__ std::uint32_t encode_e2m1_pair(float low, float high) {
#if NVFP4_HAS_FP4_INSTRUCTIONS
  std::uint32_t codes;
  asm("{.reg .b8 pair; cvt.rn.satfinite.e2m1x2.f32 pair, %2, %1; cvt.u32.u8 %0, pair;}"
      : "=r"(codes)
      : "f"(low), "f"(high));
  return codes;
#else
  return std::uint32_t{encode_e2m1(low)} | std::uint32_t{encode_e2m1(high)} << 4U;
#endif
}

// The number of this lane, which the compiler takes for another one each time: what depends on it is computed where it
// is needed, and not kept in registers.
__device__ __forceinline__ std::uint32_t lane_from_here_on() {
  std::uint32_t lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

// The same of this thread in its block.
__device__ __forceinline__ std::uint32_t thread_from_here_on() {
  std::uint32_t thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

// 16 bytes at a shared address.
__device__ __forceinline__ void load_4_words(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ std::uint32_t load_word(std::uint32_t address) {
  std::uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}

__device__ __forceinline__ void store_float(std::uint32_t address, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

// 8 bytes at a shared address.
__device__ __forceinline__ void load_2_words(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "r"(address) : "memory");
}

// 2^value; a subnormal power is 0.
__device__ __forceinline__ float power_of_two(float value) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
  return power;
}

// Past the L1 cache; volatile, so that a second pass reads again.
__device__ __forceinline__ uint4 load_past_l1(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  return v;
}
}  // namespace nvfp4::kernels
