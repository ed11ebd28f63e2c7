// Words of Fragment16x64 to A fragments of mma m16n8k16 (wgmma: of each of its four warps), in BF16, exactly.
//
//   a = e2m1(code) * e4m3(block scale) * 2^-8        kFragmentUnit restores the 2^8, in float32, with scale2
//
// The masked bits of a word are BF16 numbers 2^-126 * e2m1, subnormals among them, and the scale is a BF16 number
// 2^118 * e4m3: one product of at most 6 significant bits. Integer and BF16 operations for 8 weights: 19.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

inline constexpr float kFragmentUnit = 256.0F;

// Two BF16 numbers times two others, subnormals kept.
__device__ __forceinline__ std::uint32_t multiply_bf16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
  return product;
}

// Byte block_idx (0 to 3, a compile-time constant) of four tile scales -> a pair of equal BF16 numbers, 2^118 * e4m3.
__device__ __forceinline__ std::uint32_t decode_scale_pair(std::uint32_t scales, std::uint32_t block_idx) {
  constexpr std::uint32_t kExponent = (235U << 7) * 0x00010001U;
  const std::uint32_t byte = __byte_perm(scales, 0, 0x4440U | block_idx);
  return byte * 0x00100010U + kExponent;  // a multiply-add: the shifts' pipe is the busy one
}

// One word, 8 codes, to registers a[0..3]: rows g, g + 8, g, g + 8; the columns of the mma's A operand.
__device__ __forceinline__ void decode_fragment(std::uint32_t word, std::uint32_t scale_g, std::uint32_t scale_g8,
                                                std::uint32_t (&a)[4]) {
  constexpr std::uint32_t kPair = 0x81C081C0U;
  const std::uint32_t last = ((word >> 3) & 0x01800180U) | ((word >> 7) & 0x00400040U) | ((word << 1) & 0x80008000U);
  a[0] = multiply_bf16x2(word & kPair, scale_g);
  a[1] = multiply_bf16x2((word << 3) & kPair, scale_g8);
  a[2] = multiply_bf16x2((word << 6) & kPair, scale_g);
  a[3] = multiply_bf16x2(last, scale_g8);
}

// The same with half the work for scales. Four tile scales of a row to BF16 numbers 2^118 * e4m3: blocks 0 and 2 in
// pairs[0], 1 and 3 in pairs[1]. `sixteen` is 16, but not known to the compiler, which would shift instead of multiply:
// the pipe of the shifts is the busy one.
__device__ __forceinline__ void decode_row_scales(std::uint32_t scales, std::uint32_t sixteen,
                                                  std::uint32_t (&pairs)[2]) {
  constexpr std::uint32_t kExponent = (235U << 7) * 0x00010001U;
  pairs[0] = (scales & 0x00FF00FFU) * sixteen + kExponent;
  pairs[1] = __byte_perm(scales, 0, 0x4341) * sixteen + kExponent;
}

// Two BF16 numbers times the low or the high half of a pair.
template <bool kHigh>
__device__ __forceinline__ std::uint32_t multiply_by_half(std::uint32_t a, std::uint32_t pair) {
  std::uint32_t product;
  if constexpr (kHigh) {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {h, h}; mul.rn.bf16x2 %0, %1, s;}"
        : "=r"(product)
        : "r"(a), "r"(pair));
  } else {
    asm("{.reg .b16 l, h; .reg .b32 s; mov.b32 {l, h}, %2; mov.b32 s, {l, l}; mul.rn.bf16x2 %0, %1, s;}"
        : "=r"(product)
        : "r"(a), "r"(pair));
  }
  return product;
}

// The word of block kBlock of a tile, under the scales of rows g and g + 8.
template <std::uint32_t kBlock>
__device__ __forceinline__ void decode_block(std::uint32_t word, const std::uint32_t (&scales_g)[2],
                                             const std::uint32_t (&scales_g8)[2], std::uint32_t (&a)[4]) {
  constexpr std::uint32_t kPair = 0x81C081C0U;
  constexpr bool kHigh = kBlock >= 2;
  const std::uint32_t g = scales_g[kBlock % 2];
  const std::uint32_t g8 = scales_g8[kBlock % 2];
  const std::uint32_t last = ((word >> 3) & 0x01800180U) | ((word >> 7) & 0x00400040U) | ((word << 1) & 0x80008000U);
  a[0] = multiply_by_half<kHigh>(word & kPair, g);
  a[1] = multiply_by_half<kHigh>((word << 3) & kPair, g8);
  a[2] = multiply_by_half<kHigh>((word << 6) & kPair, g);
  a[3] = multiply_by_half<kHigh>(last, g8);
}

}  // namespace nvfp4::kernels
