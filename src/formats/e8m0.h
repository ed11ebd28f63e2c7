// E8M0: a power of two without sign, the block scale of the OCP MX formats.
//
//   bits      7..0 exponent   value: 2^(code - 127), from 2^-127 to 2^127; there is no zero
//   NaN       0xFF
//   rounding  down (the exponent of the number, as the MX specification takes it) or up, by the function chosen;
//             too small, zero included, gives 2^-127; too large gives 2^127; negative numbers and NaN give NaN
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/float_bits.h"

namespace nvfp4 {

inline constexpr std::uint8_t kE8m0Nan = 0xFF;
inline constexpr std::uint8_t kE8m0One = 127;
inline constexpr std::uint8_t kE8m0Max = 254;

NVFP4_HD constexpr float decode_e8m0(std::uint8_t code) {
  if (code == kE8m0Nan) return float_from_bits(0x7FC00000U);
  if (code == 0) return float_from_bits(0x00400000U);  // 2^-127 is an FP32 subnormal
  return float_from_bits(static_cast<std::uint32_t>(code) << kFloatMantissaBits);
}

namespace internal {

NVFP4_HD constexpr bool has_no_e8m0(std::uint32_t bits) {
  return (bits & kFloatMagnitudeMask) > kFloatInfinityBits || bits > kFloatSignMask;
}

}  // namespace internal

// The largest power of two that is not above `value`.
NVFP4_HD constexpr std::uint8_t encode_e8m0_down(float value) {
  const std::uint32_t bits = float_bits(value);
  if (internal::has_no_e8m0(bits)) return kE8m0Nan;
  const std::uint32_t exponent = (bits & kFloatMagnitudeMask) >> kFloatMantissaBits;
  return static_cast<std::uint8_t>(exponent > kE8m0Max ? kE8m0Max : exponent);
}

// The smallest power of two that is not below `value`.
NVFP4_HD constexpr std::uint8_t encode_e8m0_up(float value) {
  const std::uint32_t bits = float_bits(value);
  if (internal::has_no_e8m0(bits)) return kE8m0Nan;
  const std::uint32_t magnitude = bits & kFloatMagnitudeMask;
  if (magnitude <= 0x00400000U) return 0;  // at most 2^-127
  const std::uint32_t exponent = (magnitude >> kFloatMantissaBits) + ((magnitude & 0x007FFFFFU) != 0 ? 1U : 0U);
  return static_cast<std::uint8_t>(exponent > kE8m0Max ? kE8m0Max : exponent);
}

}  // namespace nvfp4
