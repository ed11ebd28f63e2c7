// FP16 (IEEE binary16).
//
//   bits      15   14..10   9..0       value: exponent 0:  (-1)^s * mantissa * 2^-24
//             sign exponent mantissa          exponent 31: infinity (mantissa 0) or NaN
//                                             otherwise:   (-1)^s * 2^(exponent - 15) * (1 + mantissa / 1024)
//   range     2^-24 (least subnormal), 2^-14 (least normal), 65504 (0x7BFF)
//   rounding  nearest, ties to even; 65520 and above give infinity
//   NaN       stays NaN: sign and upper payload bits kept, made quiet
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/float_bits.h"

namespace nvfp4 {

inline constexpr float kFp16Max = 65504.0F;

NVFP4_HD constexpr float decode_fp16(std::uint16_t code) {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16U;
  const std::uint32_t exponent = (code >> 10U) & 31U;
  const std::uint32_t mantissa = code & 0x3FFU;
  if (exponent == 31U) return float_from_bits(sign | kFloatInfinityBits | (mantissa << 13U));
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return float_from_bits(sign | float_bits(value));
  }
  return float_from_bits(sign | ((exponent + kFloatBias - 15U) << 23U) | (mantissa << 13U));
}

NVFP4_HD constexpr std::uint16_t encode_fp16(float value) {
  const std::uint32_t bits = float_bits(value);
  const std::uint32_t magnitude = bits & kFloatMagnitudeMask;
  const std::uint32_t sign = (bits >> 16U) & 0x8000U;
  std::uint32_t code = 0x7C00U;  // infinity
  if (magnitude > kFloatInfinityBits) {
    code = 0x7E00U | ((magnitude >> 13U) & 0x3FFU);
  } else if (magnitude < 0x38800000U) {  // below 2^-14
    code = float_to_multiple_of(magnitude, -24);
  } else if (magnitude < 0x477FF000U) {  // below 65520
    code = shift_right_to_even(magnitude, 13) - ((kFloatBias - 15U) << 10U);
  }
  return static_cast<std::uint16_t>(sign | code);
}

NVFP4_HD constexpr float round_to_fp16(float value) { return decode_fp16(encode_fp16(value)); }

}  // namespace nvfp4
