// Words of Fragment16x64 to A fragments of mma m16n8k16 (wgmma: of each of its four warps), in BF16, exactly.
//
//   a = e2m1(code) * e4m3(block scale) * 2^-8        kFragmentUnit restores the 2^8, in float32, with scale2
//
// The masked bits of a word are BF16 numbers 2^-126 * e2m1, subnormals among them, and the scale is a BF16 number
// 2^118 * e4m3: one product of at most 6 significant bits. Integer and BF16 operations for 8 weights: 14.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels {

inline constexpr float kFragmentUnit = 256.0F;

// Four tile scales of a row to BF16 numbers 2^118 * e4m3: blocks 0 and 2 in
// pairs[0], 1 and 3 in pairs[1]. `sixteen` is 16, but not known to the compiler, which would shift instead of multiply:
// the pipe of the shifts is the busy one.
__device__ __forceinline__ void decode_row_scales(std::uint32_t scales, std::uint32_t sixteen,
                                                  std::uint32_t (&pairs)[2]) {
  constexpr std::uint32_t kExponent = (235U << 7) * 0x00010001U;
  pairs[0] = (scales & 0x00FF00FFU) * sixteen + kExponent;
  pairs[1] = __byte_perm(scales, 0, 0x4341) * sixteen + kExponent;
}

// The words of blocks 0 and 1 (or, kHigh, 2 and 3) of a tile, under the scales of rows g and g + 8, to the registers of
// two A operands: rows g, g + 8, g, g + 8. layouts/fragment_16x64.h says which shift takes which codes.
template <bool kHigh>
__device__ __forceinline__ void decode_two_blocks(std::uint32_t even_word, std::uint32_t odd_word,
                                                  const std::uint32_t (&scales_g)[2],
                                                  const std::uint32_t (&scales_g8)[2], std::uint32_t (&even)[4],
                                                  std::uint32_t (&odd)[4]) {
  constexpr std::uint32_t kPair = 0x81C081C0U;
  constexpr std::uint32_t kOfEven = 0x60306030U;
  const std::uint32_t last = select_bits(kOfEven, even_word, __funnelshift_l(odd_word, odd_word, 2));
  even[0] = multiply_by_half<kHigh>(even_word & kPair, scales_g[0]);
  even[1] = multiply_by_half<kHigh>((even_word << 6) & kPair, scales_g8[0]);
  even[2] = multiply_by_half<kHigh>(__funnelshift_r(even_word, even_word, 4) & kPair, scales_g[0]);
  even[3] = multiply_by_half<kHigh>(__byte_perm(last, 0, 0x0321) & kPair, scales_g8[0]);
  odd[0] = multiply_by_half<kHigh>(odd_word & kPair, scales_g[1]);
  odd[1] = multiply_by_half<kHigh>((odd_word << 6) & kPair, scales_g8[1]);
  odd[2] = multiply_by_half<kHigh>(__funnelshift_r(odd_word, odd_word, 4) & kPair, scales_g[1]);
  odd[3] = multiply_by_half<kHigh>((last << 2) & kPair, scales_g8[1]);
}

}  // namespace nvfp4::kernels
