// Numbers in half the bytes of float32, at a small part of its error: two share a word and an exponent.
//
//   word = exponent << 24 | second << 12 | first, as a sum: both are 12-bit two's complement, in units of
//   2^(exponent - 127 - 10), and borrow from what is above them
//
// The exponent is that of the larger of the two as in float32, at least 11; the error of a number is at most 2^-11 of
// the larger, and integers up to 2047 are exact. Exponent 255, an infinity or a NaN: both read as NaN.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr float kToInteger = 0x1.8p23F;  // the low bits of a sum with it are the integer
inline constexpr std::uint32_t kToIntegerBits = 0x4B400000U;
inline constexpr std::uint32_t kExponentBits = 0x7F800000U;

__device__ __forceinline__ std::uint32_t encode_pair(float first, float second) {
  const float larger = larger_or_nan(fabsf(first), fabsf(second));
  constexpr std::uint32_t kRoundsUp = 1U << 12;   // what would be rounded to 2048 gets the next exponent
  constexpr std::uint32_t kSmallest = 11U << 23;  // a unit that is no subnormal number
  const std::uint32_t exponent = max((__float_as_uint(larger) + kRoundsUp) & kExponentBits, kSmallest);
  const float unit = __uint_as_float((264U << 23) - exponent);  // 2^(10 + 127 - exponent)
  const std::uint32_t a = __float_as_uint(fmaf(first, unit, kToInteger));
  const std::uint32_t b = __float_as_uint(fmaf(second, unit, kToInteger));  // << 12: only the integer is left
  const std::uint32_t word = b * 4096 + (a + exponent * 2 - kToIntegerBits);
  return larger < __uint_as_float(kExponentBits) ? word : kExponentBits << 1;
}

__device__ __forceinline__ void decode_pair(std::uint32_t word, float& first, float& second) {
  const std::int32_t a = static_cast<std::int32_t>(word << 20) >> 20;
  const std::uint32_t rest = word - static_cast<std::uint32_t>(a);
  const std::int32_t b = static_cast<std::int32_t>(rest << 8) >> 20;
  const std::uint32_t exponent = (rest - (static_cast<std::uint32_t>(b) << 12)) >> 24;
  const float unit = exponent == 255 ? __uint_as_float(0x7FC00000U) : __uint_as_float((exponent - 10) << 23);
  first = static_cast<float>(a) * unit;
  second = static_cast<float>(b) * unit;
}

}  // namespace nvfp4::kernels::cuda_sm90
