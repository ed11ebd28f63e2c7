// Numbers in half the bytes of float32, at a small part of its error: two share a word and an exponent.
//
//   word = second + 2048, 12 bits | exponent - 10, 8 bits | first + 2048, 12 bits
//
// in units of 2^(exponent - 127 - 10). The exponent is that of the larger of the two as in float32, at least 11; the
// error of a number is at most 2^-11 of the larger, and integers up to 2047 are exact. An infinity or a NaN: 0 and 0 in
// units of an infinity, which is NaN.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kExponentBits = 0x7F800000U;
inline constexpr std::uint32_t kNotFinite = 2048U << 20 | 255U << 12 | 2048U;

__device__ __forceinline__ std::uint32_t encode_pair(float first, float second) {
  const float larger = larger_or_nan(fabsf(first), fabsf(second));
  constexpr std::uint32_t kRoundsUp = 1U << 12;   // what would be rounded to 2048 gets the next exponent
  constexpr std::uint32_t kSmallest = 11U << 23;  // a unit that is no subnormal number
  const std::uint32_t exponent = max((__float_as_uint(larger) + kRoundsUp) & kExponentBits, kSmallest);
  const float unit = __uint_as_float((264U << 23) - exponent);  // 2^(10 + 127 - exponent)
  // The low bits of a sum with 1.5 * 2^23 are the integer. Its high bits, 0x4B4, are added to those of the second.
  constexpr float kToFirst = 0x1.8p23F + (2048 - (10 << 12));
  constexpr float kToSecond = 0x1.8p23F + (2048 - 0x4B4);
  const std::uint32_t a = __float_as_uint(fmaf(first, unit, kToFirst));
  const std::uint32_t b = __float_as_uint(fmaf(second, unit, kToSecond));
  const std::uint32_t word = (b << 20) + a + (exponent >> 11);
  return larger < __uint_as_float(kExponentBits) ? word : kNotFinite;
}

// The unit of a word's numbers, and the numbers in it: integers, exactly.
__device__ __forceinline__ float unit_of_pair(std::uint32_t word) {
  return __uint_as_float((word << 11) & kExponentBits);
}
__device__ __forceinline__ float2 integers_of_pair(std::uint32_t word) {
  constexpr std::uint32_t kTwo23 = 0x4B000000U;  // a float32 whose low bits are an integer
  constexpr float kOffset = 0x1p23F + 2048;
  return {__uint_as_float(select_bits(0xFFFU, word, kTwo23)) - kOffset,
          __uint_as_float((word >> 20) + kTwo23) - kOffset};
}

}  // namespace nvfp4::kernels::cuda_sm90
