// E4M3, finite only (E4M3FN, FP8): the block scale of NVFP4 and the element of FP8 weights.
//
//   bits        7    6..3     2..0       value: exponent 0: (-1)^s * mantissa * 2^-9
//               sign exponent mantissa          otherwise:  (-1)^s * 2^(exponent - 7) * (1 + mantissa / 8)
//   range       2^-9 (least subnormal), 2^-6 (least normal), 448 (0x7E); no infinity
//   NaN         0x7F and 0xFF only
//   rounding    nearest, ties to even; overflow saturates or becomes NaN, by the function chosen
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/float_bits.h"

namespace nvfp4 {

inline constexpr float kE4m3Max = 448.0F;
inline constexpr float kE4m3MinSubnormal = 0x1p-9F;
inline constexpr std::uint8_t kE4m3NanMagnitude = 0x7F;

NVFP4_HD constexpr bool is_nan_e4m3(std::uint8_t code) { return (code & 0x7FU) == kE4m3NanMagnitude; }

NVFP4_HD constexpr float decode_e4m3(std::uint8_t code) {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80U) << 24U;
  const std::uint32_t magnitude = code & 0x7FU;
  if (magnitude == kE4m3NanMagnitude) return float_from_bits(sign | 0x7FC00000U);
  if (magnitude < 8U) {
    const float value = static_cast<float>(magnitude) * kE4m3MinSubnormal;
    return float_from_bits(sign | float_bits(value));
  }
  return float_from_bits(sign | ((magnitude << 20U) + ((kFloatBias - 7U) << 23U)));
}

namespace internal {

// Magnitude code of a finite or infinite magnitude, rounded as if exponents went on; above 0x7E: does not fit.
NVFP4_HD constexpr std::uint32_t round_e4m3_magnitude(std::uint32_t magnitude) {
  if (magnitude < 0x3C800000U) return float_to_multiple_of(magnitude, -9);  // below 2^-6
  return shift_right_to_even(magnitude, 20) - ((kFloatBias - 7U) << 3U);
}

NVFP4_HD constexpr std::uint8_t encode_e4m3(float value, std::uint32_t overflow_code) {
  const std::uint32_t bits = float_bits(value);
  const std::uint32_t magnitude = bits & kFloatMagnitudeMask;
  const std::uint32_t sign = (bits >> 24U) & 0x80U;
  if (magnitude > kFloatInfinityBits) return static_cast<std::uint8_t>(sign | kE4m3NanMagnitude);
  const std::uint32_t code = round_e4m3_magnitude(magnitude);
  return static_cast<std::uint8_t>(sign | (code > 0x7EU ? overflow_code : code));
}

}  // namespace internal

// Overflow and infinity give 448 with the sign; NaN stays NaN.
NVFP4_HD constexpr std::uint8_t encode_e4m3_saturating(float value) { return internal::encode_e4m3(value, 0x7EU); }

// Overflow (above 464, which still rounds to 448) and infinity give NaN with the sign, as torch's cast does.
NVFP4_HD constexpr std::uint8_t encode_e4m3_or_nan(float value) {
  return internal::encode_e4m3(value, kE4m3NanMagnitude);
}

}  // namespace nvfp4
