// The inputs of linear layers, rounded by vector instructions: bit for bit what activation_rows.h and tile_rows.h
// answer. A template over an instruction set; instantiate it in that set's room with a type that no other room has.
//
// E2M1 needs the correctly rounded quotient v / m of a value and its block's multiplier, but only as far as to know the
// code, so nothing is divided per element:
//   q = fma(v, high, v * low)      high + low = 2 / m, which is 2 v / m to about 48 bits, then rounded. For every m
//   this
//                                  is on the side of every border between codes where the rounded quotient is.
//   r = (q + big) - big            big = 1.5 * 2^22 * the power of two in q, so that ties go to even codes
// The scales of kLanes blocks are computed together, with the divisions of the reference.
#pragma once

#include <cstdint>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_shared {

// How a row is rounded, in plain values.
struct ActivationInput {
  const float* pre_quant_scale = nullptr;  // [in_features] or null
  bool is_dynamic = false;                 // else `scale` is the expert's input scale
  bool scale_divides = false;              // compressed-tensors' rule
  float scale = 1.0F;
};
[[nodiscard]] ActivationInput activation_input(const LinearWeight& weight, Activation activation,
                                               std::uint32_t expert_idx);

// round_row() of values to which pre_quant_scale was applied. May work in place.
float round_scaled_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* values,
                       float* out);

// quantize_nvfp4_row() of tile_rows.h, here for rows with scales far from 1 and for rows that are not finite.
float quantize_any_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                             const float* x, float* scratch, std::int8_t* codes, std::uint8_t* block_scales);

// Isa: Vector of kLanes floats and functions on it. Those on bits take magnitudes in the order of their bits.
template <class Isa>
class ActivationQuantizer {
 public:
  // See activation_rows.h of the rooms.
  static float quantize_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                                  const float* x, float* scratch, std::int8_t* codes, std::uint8_t* block_scales) {
    const ActivationInput input = activation_input(weight, activation, expert_idx);
    const std::uint64_t count = weight.in_features;
    const float* values = x;
    if (input.pre_quant_scale != nullptr) {
      multiply(x, input.pre_quant_scale, count, scratch);
      values = scratch;
    }
    const float scale2 = input.is_dynamic ? dynamic_scale(largest(values, count), kNvfp4Max) : input.scale;
    if (is_near_one(scale2)) {
      const RowScale row(scale2, input.scale_divides);
      const float amax = quantize_groups(row, values, count, codes, block_scales);
      if (row.fits(amax)) return input.scale_divides ? 1.0F / scale2 : scale2;
    }
    return quantize_any_nvfp4_row(weight, activation, expert_idx, x, scratch, codes, block_scales);
  }

  static float round_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                         float* out) {
    const ActivationInput input = activation_input(weight, activation, expert_idx);
    const std::uint64_t count = weight.in_features;
    const float* values = x;
    if (input.pre_quant_scale != nullptr) {
      multiply(x, input.pre_quant_scale, count, out);
      values = out;
    }
    const bool is_nvfp4 = activation == Activation::kNvfp4Static || activation == Activation::kNvfp4Dynamic;
    if (activation != Activation::k16Bit) {
      const float amax = largest(values, count);
      const float scale = input.is_dynamic ? dynamic_scale(amax, is_nvfp4 ? kNvfp4Max : kE4m3Largest) : input.scale;
      if (is_nvfp4 && is_near_one(scale)) {
        const RowScale row(scale, input.scale_divides);
        if (row.fits(amax)) {
          round_groups(row, values, count, out);
          return input.scale_divides ? 1.0F / scale : scale;
        }
      }
      if (!is_nvfp4 && amax <= kFloatLargest && scale > 0.0F) {
        round_to_e4m3(scale, values, count, out);
        return scale;
      }
    }
    return round_scaled_row(weight, activation, expert_idx, values, out);
  }

 private:
  using Vector = typename Isa::Vector;
  static constexpr std::uint64_t kLanes = Isa::kLanes;
  static constexpr std::uint64_t kBlock = 16;
  static constexpr std::uint64_t kGroup = kBlock * kLanes;  // elements whose scales fill a vector
  static constexpr float kE2m1Largest = 6.0F;
  static constexpr float kE4m3Largest = 448.0F;
  static constexpr float kNvfp4Max = kE2m1Largest * kE4m3Largest;
  static constexpr float kFloatLargest = 0x1.FFFFFEP127F;
  static constexpr float kSubstitute = 0.125F;  // for block scales of zero, by compressed-tensors' rule

  // Multipliers of blocks are then so far from the ends of float32 that nothing on the way is.
  static bool is_near_one(float scale2) { return scale2 >= 0x1p-64F && scale2 <= 0x1p64F; }

  // The second-level scale of a row.
  struct RowScale {
    float scale2;
    bool divides;
    float divisor, factor;  // block scale = amax / divisor * factor

    RowScale(float row_scale2, bool scale_divides)
        : scale2(row_scale2),
          divides(scale_divides),
          divisor(scale_divides ? kE2m1Largest : kE2m1Largest * row_scale2),
          factor(scale_divides ? row_scale2 : 1.0F) {}
    // Is the row finite, with quotients that fit into 32-bit integers?
    [[nodiscard]] bool fits(float amax) const { return amax / divisor * factor <= 0x1p30F; }
  };

  // Groups whose scales are computed before their codes: so many divisions are under way at once.
  static constexpr std::uint64_t kChunk = 8;

  struct ChunkScales {
    alignas(64) float high[kChunk * kLanes];  // with low: 2 / multiplier
    alignas(64) float low[kChunk * kLanes];
  };
  struct RoundedScales {
    alignas(64) float half_scale[kChunk * kLanes];
    alignas(64) float underflow[kChunk * kLanes];  // magnitudes * kUnit up to this have quotient zero
  };
  // A quotient is zero up to 2^-150. Both sides of that are taken times 2^100, so that they are exact (or infinite).
  static constexpr float kUnit = 0x1p100F;
  static constexpr float kUnderflow = 0x1p-50F;

  static float dynamic_scale(float amax, float range) {
    const float scale = amax / range;
    return scale == 0.0F ? 1.0F : scale;
  }

  // To the mantissa bits that power_of_two * unit leaves, and with fixed steps below `least`. Ties go to even.
  static Vector round_to_step(Vector value, Vector least, Vector unit) {
    const Vector power = Isa::max(Isa::bit_and(value, Isa::from_bits(0x7F800000U)), least);
    return Isa::fnma(power, unit, Isa::fma(power, unit, value));
  }
  // E2M1 of half the value, doubled; above 6 it is not bounded.
  static Vector round_e2m1(Vector doubled) { return round_to_step(doubled, Isa::splat(2.0F), Isa::splat(0x1.8p22F)); }
  static Vector round_e4m3(Vector value) { return round_to_step(value, Isa::splat(0x1p-6F), Isa::splat(0x1.8p20F)); }

  // E4M3 scales of kLanes blocks, as numbers.
  static Vector block_scales_of(const RowScale& row, Vector amax) {
    const Vector quotient = Isa::div(amax, Isa::splat(row.divisor));
    const Vector scale = Isa::min(Isa::mul(quotient, Isa::splat(row.factor)), Isa::splat(kE4m3Largest));
    return Isa::replace_zeros(round_e4m3(scale), Isa::splat(row.divides ? kSubstitute : 0.0F));
  }
  static Vector multiplier_of(const RowScale& row, Vector scale) {
    const Vector scale2 = Isa::splat(row.scale2);
    return row.divides ? Isa::div(scale, scale2) : Isa::mul(scale, scale2);
  }
  // Blocks with scale zero get codes zero.
  static void store_reciprocal(Vector multiplier, float* high_out, float* low_out) {
    const Vector high = Isa::div_or_zero(Isa::splat(2.0F), multiplier);
    const Vector rest = Isa::fnma(multiplier, high, Isa::splat(2.0F));  // exact
    const Vector half_rest = Isa::mul(rest, Isa::splat(0.5F));
    const Vector first = Isa::mul(half_rest, high);
    Isa::store(high_out, high);
    Isa::store(low_out, Isa::fma(first, half_rest, first));
  }
  static Vector doubled_code(const float* x, std::uint64_t vector_idx, const ChunkScales& scales) {
    const std::uint64_t block_idx = vector_idx * kLanes / kBlock;
    const Vector value = Isa::load(x + vector_idx * kLanes);
    const Vector rest = Isa::mul(value, Isa::splat(scales.low[block_idx]));
    return round_e2m1(Isa::fma(value, Isa::splat(scales.high[block_idx]), rest));
  }

  // At most kChunk groups; answers largest magnitudes.
  static Vector quantize_chunk(const RowScale& row, const float* x, std::uint64_t num_groups, std::int8_t* codes,
                               std::uint8_t* block_scales) {
    ChunkScales scales;
    Vector largest_of_all = Isa::splat(0.0F);
    for (std::uint64_t g = 0; g < num_groups; ++g) {
      const Vector amax = Isa::block_maxima(x + g * kGroup);
      const Vector scale = block_scales_of(row, amax);
      Isa::store_e4m3(scale, block_scales + g * kLanes);
      store_reciprocal(multiplier_of(row, scale), scales.high + g * kLanes, scales.low + g * kLanes);
      largest_of_all = Isa::max_bits(largest_of_all, amax);
    }
    for (std::uint64_t v = 0; v < num_groups * kBlock; v += 4) {
      Isa::store_codes(doubled_code(x, v, scales), doubled_code(x, v + 1, scales), doubled_code(x, v + 2, scales),
                       doubled_code(x, v + 3, scales), codes + v * kLanes);
    }
    return largest_of_all;
  }

  // Answers the largest magnitude of the row; NaNs are above infinity.
  static float quantize_groups(const RowScale& row, const float* x, std::uint64_t count, std::int8_t* codes,
                               std::uint8_t* block_scales) {
    Vector amax = Isa::splat(0.0F);
    std::uint64_t begin = 0;
    while (const std::uint64_t num_groups = groups_of_chunk(count - begin)) {
      amax =
          Isa::max_bits(amax, quantize_chunk(row, x + begin, num_groups, codes + begin, block_scales + begin / kBlock));
      begin += num_groups * kGroup;
    }
    if (const std::uint64_t rest = count - begin; rest != 0) {
      float padded[kGroup] = {};
      std::int8_t padded_codes[kGroup];
      std::uint8_t padded_scales[kLanes];
      __builtin_memcpy(padded, x + begin, rest * sizeof(float));
      amax = Isa::max_bits(amax, quantize_chunk(row, padded, 1, padded_codes, padded_scales));
      __builtin_memcpy(codes + begin, padded_codes, rest);
      __builtin_memcpy(block_scales + begin / kBlock, padded_scales, rest / kBlock);
    }
    return Isa::largest_lane(amax);
  }
  static std::uint64_t groups_of_chunk(std::uint64_t count) {
    return count / kGroup < kChunk ? count / kGroup : kChunk;
  }

  // Works in place.
  static void round_chunk(const RowScale& row, const float* x, std::uint64_t num_groups, float* out) {
    ChunkScales scales;
    RoundedScales rounded;
    for (std::uint64_t g = 0; g < num_groups; ++g) {
      const std::uint64_t begin = g * kLanes;
      const Vector scale = block_scales_of(row, Isa::block_maxima(x + g * kGroup));
      const Vector multiplier = multiplier_of(row, scale);
      store_reciprocal(multiplier, scales.high + begin, scales.low + begin);
      Isa::store(rounded.half_scale + begin, Isa::mul(scale, Isa::splat(0.5F)));
      const Vector underflow = Isa::mul(multiplier, Isa::splat(kUnderflow));
      // Blocks with scale zero become +0.
      Isa::store(rounded.underflow + begin, Isa::replace_zeros(underflow, Isa::splat(__builtin_inff())));
    }
    for (std::uint64_t v = 0; v < num_groups * kBlock; ++v) {
      const std::uint64_t block_idx = v * kLanes / kBlock;
      const Vector value = Isa::load(x + v * kLanes);
      const Vector code = Isa::max(Isa::min(doubled_code(x, v, scales), Isa::splat(12.0F)), Isa::splat(-12.0F));
      const Vector magnitude = Isa::bit_and(value, Isa::from_bits(0x7FFFFFFFU));
      const Vector sign =
          Isa::keep_above(Isa::bit_and(value, Isa::from_bits(0x80000000U)), Isa::mul(magnitude, Isa::splat(kUnit)),
                          Isa::splat(rounded.underflow[block_idx]));
      Isa::store(out + v * kLanes, Isa::bit_or(Isa::mul(code, Isa::splat(rounded.half_scale[block_idx])), sign));
    }
  }

  static void round_groups(const RowScale& row, const float* x, std::uint64_t count, float* out) {
    std::uint64_t begin = 0;
    while (const std::uint64_t num_groups = groups_of_chunk(count - begin)) {
      round_chunk(row, x + begin, num_groups, out + begin);
      begin += num_groups * kGroup;
    }
    if (const std::uint64_t rest = count - begin; rest != 0) {
      float padded[kGroup] = {};
      __builtin_memcpy(padded, x + begin, rest * sizeof(float));
      round_chunk(row, padded, 1, padded);
      __builtin_memcpy(out + begin, padded, rest * sizeof(float));
    }
  }

  // On whole vectors; the last one is padded with zeros.
  template <class Function>
  static void for_each_vector(const float* x, std::uint64_t count, float* out, Function function) {
    std::uint64_t k = 0;
    for (; k + kLanes <= count; k += kLanes) Isa::store(out + k, function(Isa::load(x + k)));
    if (k == count) return;
    float padded[kLanes] = {};
    __builtin_memcpy(padded, x + k, (count - k) * sizeof(float));
    Isa::store(padded, function(Isa::load(padded)));
    __builtin_memcpy(out + k, padded, (count - k) * sizeof(float));
  }

  static void multiply(const float* x, const float* factors, std::uint64_t count, float* out) {
    std::uint64_t k = 0;
    for (; k + kLanes <= count; k += kLanes) Isa::store(out + k, Isa::mul(Isa::load(x + k), Isa::load(factors + k)));
    for (; k < count; ++k) out[k] = x[k] * factors[k];
  }

  static void round_to_e4m3(float scale, const float* x, std::uint64_t count, float* out) {
    for_each_vector(x, count, out, [scale](Vector value) {
      const Vector quotient = Isa::div(value, Isa::splat(scale));
      const Vector sign = Isa::bit_and(quotient, Isa::from_bits(0x80000000U));
      const Vector magnitude = Isa::bit_and(quotient, Isa::from_bits(0x7FFFFFFFU));
      return Isa::bit_or(round_e4m3(Isa::min(magnitude, Isa::splat(kE4m3Largest))), sign);
    });
  }

  // NaNs are above infinity.
  static float largest(const float* x, std::uint64_t count) {
    const Vector magnitude = Isa::from_bits(0x7FFFFFFFU);
    Vector amax[4] = {Isa::splat(0.0F), Isa::splat(0.0F), Isa::splat(0.0F), Isa::splat(0.0F)};
    std::uint64_t k = 0;
    for (; k + 4 * kLanes <= count; k += 4 * kLanes) {
      for (std::uint64_t i = 0; i < 4; ++i) {
        amax[i] = Isa::max_bits(amax[i], Isa::bit_and(Isa::load(x + k + i * kLanes), magnitude));
      }
    }
    if (k != count) {
      float padded[4 * kLanes] = {};
      __builtin_memcpy(padded, x + k, (count - k) * sizeof(float));
      for (std::uint64_t i = 0; i < 4; ++i) {
        amax[i] = Isa::max_bits(amax[i], Isa::bit_and(Isa::load(padded + i * kLanes), magnitude));
      }
    }
    return Isa::largest_lane(Isa::max_bits(Isa::max_bits(amax[0], amax[1]), Isa::max_bits(amax[2], amax[3])));
  }
};

}  // namespace nvfp4::kernels::cpu_shared
