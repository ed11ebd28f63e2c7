// E2M1 (FP4): the element of NVFP4.
//
//   bits      3    2 1    0        value: exponent 0: (-1)^s * mantissa * 0.5
//             sign exponent mantissa      otherwise:  (-1)^s * 2^(exponent - 1) * (1 + mantissa / 2)
//   range     0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; no infinity, no NaN; code 8 is -0
//   rounding  nearest, ties to the even code; magnitudes above 6 saturate
//   NaN       encodes to +6 (code 7), as the PTX conversion does
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/float_bits.h"

namespace nvfp4 {

inline constexpr float kE2m1Max = 6.0F;
inline constexpr std::uint32_t kE2m1NumCodes = 16;

// Code 0..15 to float; the upper bits of `code` must be zero.
NVFP4_HD constexpr float decode_e2m1(std::uint8_t code) {
  const std::uint32_t exponent = (code >> 1U) & 3U;
  const std::uint32_t mantissa = code & 1U;
  const std::uint32_t magnitude = exponent != 0   ? ((exponent + kFloatBias - 1U) << 23U) | (mantissa << 22U)
                                  : mantissa != 0 ? 0x3F000000U  // 0.5
                                                  : 0U;
  return float_from_bits((static_cast<std::uint32_t>(code & 8U) << 28U) | magnitude);
}

// Twice the value, an exact small integer in [-12, 12]; both zeros give 0.
NVFP4_HD constexpr std::int8_t decode_e2m1_doubled(std::uint8_t code) {
  const int exponent = (code >> 1) & 3;
  const int mantissa = code & 1;
  const int magnitude = exponent == 0 ? mantissa : (2 + mantissa) << (exponent - 1);
  return static_cast<std::int8_t>((code & 8) != 0 ? -magnitude : magnitude);
}

// Nearest code, ties to even, saturating; -0 and small negatives give code 8.
NVFP4_HD constexpr std::uint8_t encode_e2m1(float value) {
  const std::uint32_t bits = float_bits(value);
  const std::uint32_t magnitude = bits & kFloatMagnitudeMask;
  if (magnitude > kFloatInfinityBits) return 7;
  const std::uint32_t sign = (bits >> 28U) & 8U;
  std::uint32_t code = 7;
  if (magnitude < 0x3F800000U) {  // below 1: multiples of 0.5
    code = float_to_multiple_of(magnitude, -1);
  } else if (magnitude < 0x40C00000U) {  // below 6: one mantissa bit stays, the carry moves into the exponent
    code = shift_right_to_even(magnitude, 22) - ((kFloatBias - 1U) << 1U);
  }
  return static_cast<std::uint8_t>(sign | code);
}

}  // namespace nvfp4
