#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

kernels::LinearWeight PreparedWeight::view() const {
  kernels::LinearWeight view;
  view.format = format;
  view.num_experts = num_experts;
  view.out_features = out_features;
  view.in_features = in_features;
  view.block_size = block_size;
  view.layout = layout;
  view.elements = elements.data();
  view.block_scales = reinterpret_cast<const std::uint8_t*>(block_scales.data());
  view.shard_rows = shard_rows;
  view.scale2 = scale2;
  view.per_row_scale = per_row_scale;
  view.input_scale = input_scale;
  view.input_rule = input_rule;
  view.pre_quant_scale = pre_quant_scale;
  view.bias = bias;
  return view;
}

kernels::LinearProblem PreparedWeight::problem() const {
  return {format, activation, out_features, in_features, num_experts, block_size, odd_scales};
}

// E4M3 codes in the order of their bytes: numbers from 0 on, NaN, then everything with a sign.
void PreparedWeight::look_at_scales() {
  constexpr std::uint8_t kLargest = 0x7E;
  const auto* const scales = reinterpret_cast<const std::uint8_t*>(block_scales.data());
  std::uint8_t largest = 0;
  for (std::size_t i = 0; i < block_scales.size(); ++i) largest = largest < scales[i] ? scales[i] : largest;
  odd_scales = largest > kLargest;
}

std::uint64_t PreparedWeight::num_bytes() const {
  const std::size_t num_floats = scale2.size() + input_scale.size() + pre_quant_scale.size() + bias.size();
  return elements.size() + block_scales.size() + num_floats * sizeof(float);
}

}  // namespace nvfp4::prepare
