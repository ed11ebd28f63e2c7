#include "kernels/cpu_shared/activation_quantizer.h"

#include "kernels/cpu_shared/activation_rows.h"
#include "kernels/cpu_shared/tile_rows.h"

namespace nvfp4::kernels::cpu_shared {

ActivationInput activation_input(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx) {
  ActivationInput input;
  if (!weight.pre_quant_scale.empty()) input.pre_quant_scale = weight.pre_quant_scale.data();
  input.is_dynamic = activation == Activation::kNvfp4Dynamic || activation == Activation::kFp8Dynamic;
  input.scale_divides =
      activation == Activation::kNvfp4Static && weight.input_rule == QuantizerRule::kCompressedTensors;
  if (activation == Activation::kNvfp4Static || activation == Activation::kFp8Static) {
    input.scale = weight.input_scale[expert_idx];
  }
  return input;
}

float round_scaled_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* values,
                       float* out) {
  LinearWeight scaled = weight;
  scaled.pre_quant_scale = {};
  return round_row(scaled, activation, expert_idx, values, out);
}

float quantize_any_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                             const float* x, float* scratch, std::int8_t* codes, std::uint8_t* block_scales) {
  return quantize_nvfp4_row(weight, activation, expert_idx, x, scratch, codes, block_scales);
}

}  // namespace nvfp4::kernels::cpu_shared
