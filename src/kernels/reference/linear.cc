#include "kernels/reference/linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"

namespace nvfp4::kernels::reference {
namespace {

template <class T>
T load(const std::byte* bytes, std::uint64_t idx) {
  T value;
  std::memcpy(&value, bytes + idx * sizeof(T), sizeof(T));
  return value;
}

double element(const LinearWeight& weight, std::uint64_t idx) {
  switch (weight.format) {
    case WeightFormat::kF32:
      return load<float>(weight.elements, idx);
    case WeightFormat::kF16:
      return decode_fp16(load<std::uint16_t>(weight.elements, idx));
    case WeightFormat::kBF16:
      return decode_bf16(load<std::uint16_t>(weight.elements, idx));
    case WeightFormat::kFp8:
      return decode_e4m3(load<std::uint8_t>(weight.elements, idx));
    case WeightFormat::kNvfp4: {
      const auto byte = load<std::uint8_t>(weight.elements, idx / 2);
      const auto code = static_cast<std::uint8_t>(idx % 2 == 0 ? byte & 15U : byte >> 4U);
      return static_cast<double>(decode_e2m1(code)) * decode_e4m3(weight.block_scales[idx / weight.block_size]);
    }
  }
  return 0;
}

double scale_of_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row) {
  if (weight.scale2.empty()) return 1.0;
  if (weight.per_row_scale) return weight.scale2[expert_idx * weight.out_features + row];
  const std::size_t num_shards = std::max<std::size_t>(weight.shard_rows.size(), 1);
  std::size_t shard_idx = 0;
  for (std::uint64_t end = 0; shard_idx + 1 < num_shards; ++shard_idx) {
    end += weight.shard_rows[shard_idx];
    if (row < end) break;
  }
  return weight.scale2[expert_idx * num_shards + shard_idx];
}

// Rounds to NVFP4 under scale2, as stored by a producer with this rule.
void round_to_nvfp4(QuantizerRule rule, float scale2, std::span<const float> x, std::span<double> out) {
  std::vector<std::uint8_t> codes(x.size() / 2);
  std::vector<std::uint8_t> scales(x.size() / kNvfp4BlockSize);
  quantize_activation_row(x, rule, scale2, codes, scales);
  const double multiplier = rule == QuantizerRule::kModelOpt ? double{scale2} : 1.0 / double{scale2};
  for (std::size_t k = 0; k < x.size(); ++k) {
    out[k] = double{decode_e2m1(unpack_e2m1(codes.data(), k))} * decode_e4m3(scales[k / kNvfp4BlockSize]) * multiplier;
  }
}

// Under which a row's largest magnitude is `range`.
float dynamic_scale(std::span<const float> x, float range) {
  float amax = 0.0F;
  for (const float value : x) amax = std::max(amax, std::fabs(value));
  return amax / range == 0.0F ? 1.0F : amax / range;
}

}  // namespace

void dequantize_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row, std::span<double> out) {
  const std::uint64_t begin = (expert_idx * weight.out_features + row) * weight.in_features;
  const double scale = scale_of_row(weight, expert_idx, row);
  for (std::uint64_t k = 0; k < weight.in_features; ++k) out[k] = element(weight, begin + k) * scale;
}

void round_activation(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                      std::span<const float> x, std::span<double> out) {
  std::vector<float> scaled(x.begin(), x.end());
  if (!weight.pre_quant_scale.empty()) {
    for (std::size_t k = 0; k < scaled.size(); ++k) scaled[k] *= weight.pre_quant_scale[k];
  }
  const float stored = weight.input_scale.empty() ? 0.0F : weight.input_scale[expert_idx];
  const bool all_finite = std::all_of(scaled.begin(), scaled.end(), [](float value) { return std::isfinite(value); });
  if (activation != Activation::k16Bit && !all_finite) {
    std::fill(out.begin(), out.end(), std::numeric_limits<double>::quiet_NaN());
    return;
  }
  switch (activation) {
    case Activation::k16Bit:
      std::copy(scaled.begin(), scaled.end(), out.begin());
      return;
    case Activation::kNvfp4Static:
      round_to_nvfp4(weight.input_rule, stored, scaled, out);
      return;
    case Activation::kNvfp4Dynamic:
      round_to_nvfp4(QuantizerRule::kModelOpt, dynamic_scale(scaled, kNvfp4Range), scaled, out);
      return;
    case Activation::kFp8Static:
    case Activation::kFp8Dynamic: {
      const float scale = activation == Activation::kFp8Static ? stored : dynamic_scale(scaled, kE4m3Max);
      for (std::size_t k = 0; k < scaled.size(); ++k) {
        out[k] = double{decode_e4m3(encode_e4m3_saturating(scaled[k] / scale))} * scale;
      }
      return;
    }
  }
}

std::vector<double> linear(const LinearWeight& weight, Activation activation, const LinearArgs& args,
                           std::vector<double>* magnitude) {
  std::vector<double> y(args.num_rows * weight.out_features);
  if (magnitude != nullptr) magnitude->assign(y.size(), 0.0);
  std::vector<double> w(weight.in_features);
  std::vector<double> a(weight.in_features);
  for (std::uint32_t expert_idx = 0; expert_idx < weight.num_experts; ++expert_idx) {
    const std::uint32_t begin = args.expert_offsets.empty() ? 0 : args.expert_offsets[expert_idx];
    const std::uint32_t end = args.expert_offsets.empty() ? args.num_rows : args.expert_offsets[expert_idx + 1];
    for (std::uint32_t t = begin; t < end; ++t) {
      round_activation(weight, activation, expert_idx, {args.x + t * weight.in_features, weight.in_features}, a);
      for (std::uint64_t n = 0; n < weight.out_features; ++n) {
        dequantize_row(weight, expert_idx, n, w);
        double sum = weight.bias.empty() ? 0.0 : double{weight.bias[n]};
        double total = std::fabs(sum);
        for (std::uint64_t k = 0; k < weight.in_features; ++k) {
          sum += a[k] * w[k];
          total += std::fabs(a[k] * w[k]);
        }
        y[t * weight.out_features + n] = sum;
        if (magnitude != nullptr) (*magnitude)[t * weight.out_features + n] = total;
      }
    }
  }
  return y;
}

}  // namespace nvfp4::kernels::reference
