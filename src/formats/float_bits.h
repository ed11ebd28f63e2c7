// The bits of an FP32 number, and the integer rounding that all encoders share.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace nvfp4 {

inline constexpr std::uint32_t kFloatSignMask = 0x80000000U;
inline constexpr std::uint32_t kFloatMagnitudeMask = 0x7FFFFFFFU;
inline constexpr std::uint32_t kFloatInfinityBits = 0x7F800000U;  // magnitudes above it are NaNs
inline constexpr std::uint32_t kFloatMantissaBits = 23;
inline constexpr std::uint32_t kFloatBias = 127;

NVFP4_HD constexpr std::uint32_t float_bits(float value) { return __builtin_bit_cast(std::uint32_t, value); }
NVFP4_HD constexpr float float_from_bits(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

// value / 2^shift rounded to the nearest integer, ties to even. Any shift; value < 2^31.
NVFP4_HD constexpr std::uint32_t shift_right_to_even(std::uint32_t value, std::uint32_t shift) {
  if (shift == 0) return value;
  if (shift > 31) return 0;
  const std::uint32_t quotient = value >> shift;
  const std::uint32_t rest = value & ((1U << shift) - 1U);
  const std::uint32_t half = 1U << (shift - 1U);
  return quotient + ((rest > half || (rest == half && (quotient & 1U) != 0)) ? 1U : 0U);
}

// Magnitude bits of an FP32 number as a multiple of 2^min_exponent, ties to even; for magnitudes < 2^(min_exponent +
// 20).
NVFP4_HD constexpr std::uint32_t float_to_multiple_of(std::uint32_t magnitude, int min_exponent) {
  const std::uint32_t exponent = magnitude >> kFloatMantissaBits;
  if (exponent == 0) return 0;  // FP32 subnormals are far below half a step of every format here
  const std::uint32_t mantissa = (magnitude & 0x007FFFFFU) | 0x00800000U;
  // The number is mantissa * 2^(exponent - 150).
  return shift_right_to_even(mantissa, static_cast<std::uint32_t>(min_exponent + 150 - static_cast<int>(exponent)));
}

}  // namespace nvfp4
