// A block of 16 activations rounded to NVFP4 and written back as numbers e2m1(code) * e4m3(block scale): exact in BF16,
// since they have 6 significant bits. Host and device compute the same bits, those of formats/quantize_row.h.
//
// The code of a value v depends on its quotient by m = block scale * scale2, rounded to float32. Nothing is divided per
// value: q = fma(v, high, v * low), where high + low = 2 / m to about 48 bits, lies on the same side of every border
// between two codes as twice that quotient. q rounds to E2M1 by adding and subtracting a power of two. Where scales are
// far from 1, or values too large, the quotient itself is computed.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/float_bits.h"
#include "nvfp4/quantize.h"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kQuantizedBlock = 16;

// One rounding each, whatever the compiler may contract.
NVFP4_HD inline float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
NVFP4_HD inline float rounded_quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
NVFP4_HD inline float fused_product(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
NVFP4_HD inline float smaller(float a, float b) { return __builtin_fminf(a, b); }
NVFP4_HD inline float larger(float a, float b) { return __builtin_fmaxf(a, b); }

// The second-level scale of a row.
struct RowScale {
  float scale2 = 1.0F;       // as the producer stores it
  bool divides = false;      // compressed-tensors' rule
  bool is_near_one = false;  // block multipliers are then far from the ends of float32
  float divisor = kE2m1Max;  // block scale = amax / divisor * factor
  float factor = 1.0F;

  NVFP4_HD static RowScale from_stored(QuantizerRule rule, float scale2) {
    RowScale row;
    row.scale2 = scale2;
    row.divides = rule == QuantizerRule::kCompressedTensors;
    row.is_near_one = scale2 >= 0x1p-64F && scale2 <= 0x1p64F;
    row.divisor = row.divides ? kE2m1Max : rounded_product(kE2m1Max, scale2);
    row.factor = row.divides ? scale2 : 1.0F;
    return row;
  }
  // The row's own: its largest magnitude over the largest number that NVFP4 holds.
  NVFP4_HD static RowScale from_largest(float amax) {
    const float scale2 = rounded_quotient(amax, kE2m1Max * kE4m3Max);
    return from_stored(QuantizerRule::kModelOpt, scale2 == 0.0F ? 1.0F : scale2);
  }

  // What the numbers of the row's blocks are to be multiplied by.
  [[nodiscard]] NVFP4_HD float multiplier() const { return divides ? rounded_quotient(1.0F, scale2) : scale2; }
};

// To the mantissa bits that power_of_two * unit leaves, with fixed steps below `least`. Ties go to even; value >= 0.
NVFP4_HD inline float round_to_step(float value, float least, float unit) {
  const float power = larger(float_from_bits(float_bits(value) & kFloatInfinityBits), least);
  return fused_product(-power, unit, fused_product(power, unit, value));
}

// What the values of a block have in common.
struct BlockScale {
  float scale = 0.0F;       // e4m3(block scale)
  float multiplier = 0.0F;  // m
  float high = 0.0F;
  float low = 0.0F;
  bool is_exact = false;  // high and low may be used

  // amax: largest magnitude of the block, finite.
  NVFP4_HD static BlockScale from_largest(const RowScale& row, float amax) {
    const float quotient = rounded_product(rounded_quotient(amax, row.divisor), row.factor);
    float scale = round_to_step(smaller(quotient, kE4m3Max), kE4m3LeastNormal, 0x1.8p20F);
    if (row.divides && scale == 0.0F) scale = kZeroScaleSubstitute;
    return from_scale(row, scale, quotient <= kLargestQuotient);
  }
  NVFP4_HD static BlockScale from_scale(const RowScale& row, float scale, bool is_small) {
    BlockScale block;
    block.scale = scale;
    block.multiplier = row.divides ? rounded_quotient(scale, row.scale2) : rounded_product(scale, row.scale2);
    if (!row.is_near_one || !is_small || scale == 0.0F) return block;
    block.is_exact = true;
    block.high = rounded_quotient(2.0F, block.multiplier);
    const float half_rest = rounded_product(fused_product(-block.multiplier, block.high, 2.0F), 0.5F);
    const float first = rounded_product(half_rest, block.high);
    block.low = fused_product(first, half_rest, first);
    return block;
  }

  // Is nothing divided, and is a BF16 number's quotient zero only where the number is?
  [[nodiscard]] NVFP4_HD bool is_usual() const { return is_exact && multiplier <= kLargestUsualMultiplier; }

  // Of a magnitude; without a sign.
  [[nodiscard]] NVFP4_HD float round_magnitude(float magnitude) const {
    constexpr float kLargestDoubled = 2 * kE2m1Max;
    const float q = fused_product(magnitude, high, rounded_product(magnitude, low));
    const float doubled = smaller(round_to_step(q, 2.0F, 0x1.8p22F), kLargestDoubled);
    return rounded_product(doubled, rounded_product(scale, 0.5F));
  }
  // Does the quotient of a negative value round to -0, so that its code has no sign? Both sides times 2^100, or
  // infinite.
  [[nodiscard]] NVFP4_HD bool underflows(float magnitude) const {
    return rounded_product(magnitude, 0x1p100F) <= rounded_product(multiplier, 0x1p-50F);
  }
  [[nodiscard]] NVFP4_HD float round(float value) const {
    if (!is_exact) return round_by_division(value);
    const std::uint32_t bits = float_bits(value);
    const float magnitude = float_from_bits(bits & kFloatMagnitudeMask);
    const std::uint32_t sign = underflows(magnitude) ? 0U : bits & kFloatSignMask;
    return float_from_bits(float_bits(round_magnitude(magnitude)) | sign);
  }

  // A number whose E2M1 code is the value's: the quotient, or one on the same side of every border between two codes.
  // Not negative where the code has no sign.
  [[nodiscard]] NVFP4_HD float code_source(float value) const {
    if (!is_exact) {
      const float quotient = rounded_quotient(value, multiplier);
      return quotient == 0.0F ? 0.0F : quotient;
    }
    const float magnitude = float_from_bits(float_bits(value) & kFloatMagnitudeMask);
    const float doubled = fused_product(magnitude, high, rounded_product(magnitude, low));
    const std::uint32_t sign = underflows(magnitude) ? 0U : float_bits(value) & kFloatSignMask;
    return float_from_bits(float_bits(rounded_product(doubled, 0.5F)) | sign);
  }
  [[nodiscard]] NVFP4_HD std::uint8_t scale_code() const { return encode_e4m3_saturating(scale); }

 private:
  static constexpr float kZeroScaleSubstitute = 0.125F;  // compressed-tensors
  static constexpr float kE4m3LeastNormal = 0x1p-6F;
  static constexpr float kLargestQuotient = 0x1p30F;  // amax / scale2 / 6
  static constexpr float kLargestUsualMultiplier = 0x1p16F;

  [[nodiscard]] NVFP4_HD float round_by_division(float value) const {
    if (scale == 0.0F) return 0.0F;
    const float quotient = rounded_quotient(value, multiplier);
    const std::uint8_t code = encode_e2m1(float_from_bits(float_bits(quotient) & kFloatMagnitudeMask));
    const float number = rounded_product(decode_e2m1(code), scale);
    return quotient < 0.0F ? -number : number;
  }
};

// Numbers of one block, from where they are to where they belong. What is rare comes last, in loops, so that it is
// short and out of the way of the rest.
template <std::uint32_t kNum>
NVFP4_HD inline void turn_left(std::uint32_t (&words)[kNum], std::uint32_t last) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (std::uint32_t i = 1; i < kNum; ++i) words[i - 1] = words[i];
  words[kNum - 1] = last;
}
// The upper halves of two words.
NVFP4_HD inline std::uint32_t upper_halves(std::uint32_t low, std::uint32_t high) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(low, high, 0x7632);
#else
  return low >> 16U | (high & 0xFFFF0000U);
#endif
}

// BF16 numbers, two to a word -> the same.
template <std::uint32_t kNum>
NVFP4_HD inline void round_words(const BlockScale& block, const std::uint32_t (&words)[kNum],
                                 std::uint32_t (&out)[kNum]) {
  if (block.is_usual()) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::uint32_t i = 0; i < kNum; ++i) {
      const std::uint32_t magnitudes = words[i] & 0x7FFF7FFFU;
      const std::uint32_t low = float_bits(block.round_magnitude(float_from_bits(magnitudes << 16U)));
      const std::uint32_t high = float_bits(block.round_magnitude(float_from_bits(magnitudes & 0xFFFF0000U)));
      // The sign of what is not zero: adding 0x7FFF to its magnitude reaches the bit above.
      const std::uint32_t signs = words[i] & (magnitudes + 0x7FFF7FFFU) & 0x80008000U;
      out[i] = upper_halves(low, high) | signs;
    }
    return;
  }
  for (std::uint32_t i = 0; i < kNum; ++i) out[i] = block.scale == 0.0F ? 0 : words[i];
  if (block.scale == 0.0F) return;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (std::uint32_t i = 0; i < kNum; ++i) {
    const std::uint32_t low = float_bits(block.round(float_from_bits(out[0] << 16U)));
    const std::uint32_t high = float_bits(block.round(float_from_bits(out[0] & 0xFFFF0000U)));
    turn_left(out, upper_halves(low, high));
  }
}

// Float32 numbers, their bits -> BF16, two to a word.
template <std::uint32_t kNum>
NVFP4_HD inline void round_floats(const BlockScale& block, const std::uint32_t (&bits)[2 * kNum],
                                  std::uint32_t (&out)[kNum]) {
  if (block.is_usual()) {
    // A quotient underflows up to half the multiplier times the least float32 number: the next one reaches the sign.
    const std::uint32_t above = kFloatMagnitudeMask - static_cast<std::uint32_t>(block.multiplier * 0.5F);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::uint32_t i = 0; i < kNum; ++i) {
      const std::uint32_t low = bits[2 * i] & kFloatMagnitudeMask;
      const std::uint32_t high = bits[2 * i + 1] & kFloatMagnitudeMask;
      const std::uint32_t signs = upper_halves(bits[2 * i] & (low + above), bits[2 * i + 1] & (high + above));
      out[i] = upper_halves(float_bits(block.round_magnitude(float_from_bits(low))),
                            float_bits(block.round_magnitude(float_from_bits(high)))) |
               (signs & 0x80008000U);
    }
    return;
  }
  for (std::uint32_t i = 0; i < kNum; ++i) out[i] = 0;
  if (block.scale == 0.0F) return;
  std::uint32_t left[2 * kNum];
  for (std::uint32_t i = 0; i < 2 * kNum; ++i) left[i] = bits[i];
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (std::uint32_t i = 0; i < kNum; ++i) {
    const std::uint32_t low = float_bits(block.round(float_from_bits(left[0])));
    const std::uint32_t high = float_bits(block.round(float_from_bits(left[1])));
    turn_left(left, left[0]);
    turn_left(left, left[0]);
    turn_left(out, upper_halves(low, high));
  }
}

// 16 BF16 numbers, two to a word -> the same. amax is the largest magnitude of the block, finite.
NVFP4_HD inline void round_block(const RowScale& row, float amax, const std::uint32_t (&words)[8],
                                 std::uint32_t (&out)[8]) {
  round_words(BlockScale::from_largest(row, amax), words, out);
}

// Largest magnitude of 16 BF16 numbers, as BF16 bits: above 0x7F80 for NaN.
NVFP4_HD inline std::uint32_t largest_magnitude_bits(const std::uint32_t (&words)[8]) {
#if defined(__CUDA_ARCH__)
  std::uint32_t largest = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < 8; ++i) largest = __vmaxu2(largest, words[i] & 0x7FFF7FFFU);
  return __vmaxu2(largest, largest >> 16U) & 0xFFFFU;
#else
  std::uint32_t largest = 0;
  for (const std::uint32_t word : words) {
    for (const std::uint32_t bits : {word & 0x7FFFU, word >> 16U & 0x7FFFU}) largest = bits > largest ? bits : largest;
  }
  return largest;
#endif
}

}  // namespace nvfp4::kernels
