// BF16: the upper half of an FP32 number.
//
//   bits      15   14..7    6..0       value: as FP32 (bias 127, subnormals, infinities, NaNs)
//             sign exponent mantissa
//   range     2^-133 (least subnormal), 2^-126 (least normal), 0x7F7F = (2 - 2^-7) * 2^127
//   rounding  nearest, ties to even; overflow gives infinity
//   NaN       stays NaN: sign and upper payload bits kept, made quiet
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/float_bits.h"

namespace nvfp4 {

NVFP4_HD constexpr float decode_bf16(std::uint16_t code) {
  return float_from_bits(static_cast<std::uint32_t>(code) << 16U);
}

NVFP4_HD constexpr std::uint16_t encode_bf16(float value) {
  const std::uint32_t bits = float_bits(value);
  if ((bits & kFloatMagnitudeMask) > kFloatInfinityBits) return static_cast<std::uint16_t>((bits >> 16U) | 0x0040U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

NVFP4_HD constexpr float round_to_bf16(float value) { return decode_bf16(encode_bf16(value)); }

}  // namespace nvfp4
