#include "kernels/cpu_shared/activation_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/float_bits.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"

namespace nvfp4::kernels::cpu_shared {
namespace {

// Magnitudes are in the order of their bits, in which infinities and NaNs are above all numbers.
float largest(const float* x, std::uint64_t count) {
  std::uint32_t amax = 0;
  for (std::uint64_t k = 0; k < count; ++k) amax = std::max(amax, float_bits(x[k]) & kFloatMagnitudeMask);
  return float_from_bits(amax);
}

// The scale of a row whose largest magnitude fills the range of its type.
float dynamic_scale(float amax, float range) {
  const float scale = amax / range;
  return scale == 0.0F ? 1.0F : scale;
}

float round_to_nvfp4(QuantizerRule rule, float scale2, std::uint64_t count, float* values) {
  std::array<std::uint8_t, kNvfp4BlockSize / 2> codes{};
  std::uint8_t scale = 0;
  for (std::uint64_t begin = 0; begin < count; begin += kNvfp4BlockSize) {
    float* const block = values + begin;
    quantize_activation_row({block, kNvfp4BlockSize}, rule, scale2, codes, {&scale, 1});
    const float multiplier = decode_e4m3(scale);
    for (std::size_t k = 0; k < kNvfp4BlockSize; ++k) {
      block[k] = decode_e2m1(unpack_e2m1(codes.data(), k)) * multiplier;
    }
  }
  return rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2;
}

float round_to_fp8(float scale, std::uint64_t count, float* values) {
  for (std::uint64_t k = 0; k < count; ++k) values[k] = decode_e4m3(encode_e4m3_saturating(values[k] / scale));
  return scale;
}

}  // namespace

bool rounds_input(const LinearWeight& weight, Activation activation) {
  return activation != Activation::k16Bit || !weight.pre_quant_scale.empty();
}

float round_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                float* out) {
  const std::uint64_t count = weight.in_features;
  if (x != out) std::copy(x, x + count, out);
  for (std::size_t k = 0; k < weight.pre_quant_scale.size(); ++k) out[k] *= weight.pre_quant_scale[k];
  if (activation == Activation::k16Bit) return 1.0F;
  const float amax = largest(out, count);
  if (!std::isfinite(amax)) {
    std::fill_n(out, count, std::numeric_limits<float>::quiet_NaN());
    return 1.0F;
  }
  switch (activation) {
    case Activation::k16Bit:
      break;
    case Activation::kNvfp4Static:
      return round_to_nvfp4(weight.input_rule, weight.input_scale[expert_idx], count, out);
    case Activation::kNvfp4Dynamic:
      return round_to_nvfp4(QuantizerRule::kModelOpt, dynamic_scale(amax, kNvfp4Range), count, out);
    case Activation::kFp8Static:
      return round_to_fp8(weight.input_scale[expert_idx], count, out);
    case Activation::kFp8Dynamic:
      return round_to_fp8(dynamic_scale(amax, kE4m3Max), count, out);
  }
  return 1.0F;
}

}  // namespace nvfp4::kernels::cpu_shared
