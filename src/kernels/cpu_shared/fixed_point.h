// The 24-bit fixed point in which linear kernels take float32 inputs (tile_kernels.h: digits).
//
//   value = integer * 2^-shift, |integer| <= 0x7F7F7F: the largest number of three signed base-256 digits
#pragma once

#include <cstdint>

#include "formats/float_bits.h"

namespace nvfp4::kernels::cpu_shared {

inline constexpr std::uint32_t kInfinityBits = 0x7F800000U;
inline constexpr std::int32_t kMaxShift = 126;  // so that 2^shift is a normal float32

// The largest shift under which a magnitude with these bits fits.
[[nodiscard]] constexpr std::int32_t fixed_point_shift(std::uint32_t magnitude_bits) {
  constexpr std::uint32_t kHiddenBit = 0x800000U;
  constexpr std::uint32_t kLargestMantissa = 0x7F7F7FU * 2;
  const auto exponent = static_cast<std::int32_t>(magnitude_bits >> 23U) - 127;
  const std::uint32_t mantissa = kHiddenBit | (magnitude_bits & (kHiddenBit - 1));
  const std::int32_t shift = (mantissa > kLargestMantissa ? 21 : 22) - exponent;
  return shift < kMaxShift ? shift : kMaxShift;
}

// 2^exponent for -126..127; 0 below.
[[nodiscard]] constexpr float power_of_two(std::int32_t exponent) {
  return exponent < -126 ? 0.0F : float_from_bits(static_cast<std::uint32_t>(exponent + 127) << 23U);
}

// The scale of a tile in a row whose largest magnitude has row_shift, and what sums of such a row are multiplied by
// (weights are twice E2M1, their scales over kTileScaleUnit = 2^-117): in between, sums stay far from both ends of
// float32.
[[nodiscard]] constexpr float digit_tile_scale(std::int32_t shift, std::int32_t row_shift) {
  return power_of_two(95 - (shift - row_shift));
}
[[nodiscard]] constexpr float digit_row_multiplier(std::int32_t row_shift) { return power_of_two(21 - row_shift); }

}  // namespace nvfp4::kernels::cpu_shared
