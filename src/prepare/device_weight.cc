#include "prepare/device_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "layouts/fragment_16x64.h"

namespace nvfp4::prepare {
namespace {

using kernels::FragmentPieces;
using kernels::WeightFormat;

bool is_static(Activation activation) {
  return activation == Activation::kNvfp4Static || activation == Activation::kFp8Static;
}

kernels::RowMajorMatrix<const std::uint8_t> rows_of(const PreparedWeight& weight) {
  return {reinterpret_cast<const std::uint8_t*>(weight.elements.data()),
          reinterpret_cast<const std::uint8_t*>(weight.block_scales.data())};
}

Error refused(const PreparedWeight& weight, std::string why) {
  return Error{ErrorCode::kUnsupported, weight.name, "it cannot go to the device: " + std::move(why)};
}

// What holds for every weight.
Status check(const PreparedWeight& weight) {
  if (weight.layout != kernels::WeightLayout::kRowMajor) return refused(weight, "it is in the layout of a CPU kernel");
  if (weight.out_features > std::numeric_limits<std::uint32_t>::max() ||
      weight.in_features > std::numeric_limits<std::uint32_t>::max()) {
    return refused(weight, fmt::format("it is {} x {}", weight.out_features, weight.in_features));
  }
  if (is_static(weight.activation) && weight.input_scale.size() != weight.num_experts) {
    return refused(weight,
                   fmt::format("it has {} input scales for {} experts", weight.input_scale.size(), weight.num_experts));
  }
  if (weight.format != WeightFormat::kNvfp4) return {};
  if (weight.odd_scales) return refused(weight, "a block scale is negative or NaN");
  if (weight.block_size == 0 || weight.block_size % Fragment16x64::kBlockCols != 0) {
    return refused(weight, fmt::format("its blocks are of {} columns; multiples of {} are possible", weight.block_size,
                                       Fragment16x64::kBlockCols));
  }
  return {};
}

Status check_expert(const PreparedWeight& weight, const PreparedWeight& up) {
  NVFP4_RETURN_IF_ERROR(check(weight));
  if (weight.format != WeightFormat::kNvfp4) {
    return refused(weight, fmt::format("experts in {}; only nvfp4 is possible", weight_format_name(weight.format)));
  }
  if (weight.num_experts != up.num_experts || weight.scale2.size() != weight.num_experts) {
    return refused(weight, fmt::format("{} experts with {} scales, but {} in {}", weight.num_experts,
                                       weight.scale2.size(), up.num_experts, up.name));
  }
  if (weight.activation != up.activation || weight.input_rule != up.input_rule) {
    return refused(weight, fmt::format("its activations are {}, those of {} {}", activation_name(weight.activation),
                                       up.name, activation_name(up.activation)));
  }
  if (!weight.pre_quant_scale.empty()) return refused(weight, "experts with a pre_quant_scale");
  if (!weight.bias.empty()) return refused(weight, "experts with a bias");
  return {};
}

// Gate and up read the same rounded input.
Status check_gate(const PreparedWeight& gate, const PreparedWeight& up) {
  NVFP4_RETURN_IF_ERROR(check_expert(gate, up));
  if (gate.out_features != up.out_features || gate.in_features != up.in_features || gate.block_size != up.block_size) {
    return refused(gate, "it has another size than " + up.name);
  }
  if (!is_static(up.activation)) return {};
  const auto [in_gate, in_up] = std::ranges::mismatch(gate.input_scale, up.input_scale);
  if (in_gate == gate.input_scale.end()) return {};
  return refused(gate, fmt::format("expert {} has the input scale {} there and {} in {}; run it as W4A16",
                                   in_gate - gate.input_scale.begin(), *in_gate, *in_up, up.name));
}

kernels::DeviceShardScales shards_of(const PreparedWeight& weight) {
  kernels::DeviceShardScales shards;
  if (weight.shard_rows.empty()) {
    shards.end_rows[0] = static_cast<std::uint32_t>(weight.out_features);
    shards.scale2[0] = weight.scale2.empty() ? 1.0F : weight.scale2[0];
    return shards;
  }
  shards.count = static_cast<std::uint32_t>(weight.shard_rows.size());
  std::uint32_t end = 0;
  for (std::uint32_t shard_idx = 0; shard_idx < shards.count; ++shard_idx) {
    end += static_cast<std::uint32_t>(weight.shard_rows[shard_idx]);
    shards.end_rows[shard_idx] = end;
    shards.scale2[shard_idx] = weight.scale2.empty() ? 1.0F : weight.scale2[shard_idx];
  }
  return shards;
}

Status move_elements(const PreparedWeight& weight, DeviceStager& stager, Buffer& elements) {
  const bool is_packed = weight.format == WeightFormat::kNvfp4;
  const std::size_t num_bytes =
      is_packed ? Fragment16x64::num_bytes(weight.out_features, weight.in_features) : weight.elements.size();
  auto buffer = Buffer::allocate(num_bytes, weight.name);
  NVFP4_RETURN_IF_ERROR(buffer);
  elements = std::move(buffer).value();
  if (!is_packed) return stager.upload(weight.elements.data(), num_bytes, elements.data());
  const FragmentPieces pieces{1, weight.out_features, weight.in_features, weight.block_size, false};
  return stager.pack(pieces, rows_of(weight), {}, elements.as<std::uint8_t>());
}

Status move_floats(std::span<const float> values, const std::string& name, DeviceStager& stager, Buffer& out) {
  auto buffer = stager.floats(values, name);
  NVFP4_RETURN_IF_ERROR(buffer);
  out = std::move(buffer).value();
  return {};
}

Status move_matrices(const ExpertProjections& experts, DeviceStager& stager, DeviceExpertWeights& out) {
  const PreparedWeight& up = experts.up;
  const PreparedWeight& down = experts.down;
  const FragmentPieces fc1{up.num_experts, up.out_features, up.in_features, up.block_size, experts.gate.has_value()};
  const FragmentPieces fc2{down.num_experts, down.out_features, down.in_features, down.block_size, false};
  const std::uint64_t fc1_bytes = fc1.is_pair ? Fragment16x64::num_pair_bytes(fc1.num_rows, fc1.cols)
                                              : Fragment16x64::num_bytes(fc1.num_rows, fc1.cols);
  auto gate_up = Buffer::allocate(fc1.num_matrices * fc1_bytes, up.name);
  NVFP4_RETURN_IF_ERROR(gate_up);
  out.gate_up = std::move(gate_up).value();
  auto packed = Buffer::allocate(fc2.num_matrices * Fragment16x64::num_bytes(fc2.num_rows, fc2.cols), down.name);
  NVFP4_RETURN_IF_ERROR(packed);
  out.down = std::move(packed).value();
  auto* const first = out.gate_up.as<std::uint8_t>();
  if (experts.gate) {
    NVFP4_RETURN_IF_ERROR(stager.pack(fc1, rows_of(*experts.gate), rows_of(up), first));
  } else {
    NVFP4_RETURN_IF_ERROR(stager.pack(fc1, rows_of(up), {}, first));
  }
  return stager.pack(fc2, rows_of(down), {}, out.down.as<std::uint8_t>());
}

}  // namespace

kernels::DeviceLinearWeight DeviceLinear::view() const {
  kernels::DeviceLinearWeight view;
  view.elements = elements.data();
  view.shards = shards;
  view.row_scales = row_scales.as<float>();
  view.input_scale = input_scale;
  view.pre_quant_scale = pre_quant_scale.as<float>();
  view.bias = bias.as<float>();
  return view;
}

kernels::DeviceExperts DeviceExpertWeights::view() const {
  return {gate_up.as<std::uint8_t>(), down.as<std::uint8_t>(),     gate_scale2.as<float>(),    up_scale2.as<float>(),
          down_scale2.as<float>(),    fc1_input_scale.as<float>(), fc2_input_scale.as<float>()};
}

std::uint64_t DeviceExpertWeights::num_bytes() const {
  std::uint64_t sum = gate_up.size() + down.size();
  for (const Buffer* const scales : {&gate_scale2, &up_scale2, &down_scale2, &fc1_input_scale, &fc2_input_scale}) {
    sum += scales->size();
  }
  return sum;
}

Result<kernels::DeviceLinearProblem> device_linear_problem(const PreparedWeight& weight) {
  NVFP4_RETURN_IF_ERROR(check(weight));
  if (weight.num_experts != 1) return refused(weight, fmt::format("it has {} experts", weight.num_experts));
  kernels::DeviceLinearProblem problem;
  problem.weight = weight.format;
  problem.activation = weight.activation;
  problem.input_rule = weight.input_rule;
  problem.out_features = static_cast<std::uint32_t>(weight.out_features);
  problem.in_features = static_cast<std::uint32_t>(weight.in_features);
  problem.num_shards = static_cast<std::uint32_t>(std::max<std::size_t>(1, weight.shard_rows.size()));
  problem.per_row_scale = weight.per_row_scale;
  problem.has_bias = !weight.bias.empty();
  problem.has_pre_quant_scale = !weight.pre_quant_scale.empty();
  if (std::string why = device_linear_limits_refusal(problem); !why.empty()) return refused(weight, std::move(why));
  return problem;
}

Result<kernels::MoeProblem> device_expert_problem(const ExpertProjections& experts) {
  const PreparedWeight& up = experts.up;
  const PreparedWeight& down = experts.down;
  NVFP4_RETURN_IF_ERROR(check_expert(up, up));
  NVFP4_RETURN_IF_ERROR(check_expert(down, up));
  if (experts.gate) NVFP4_RETURN_IF_ERROR(check_gate(*experts.gate, up));
  if (down.out_features != up.in_features || down.in_features != up.out_features) {
    return refused(down, fmt::format("it is {} x {}, {} is {} x {}", down.out_features, down.in_features, up.name,
                                     up.out_features, up.in_features));
  }
  kernels::MoeProblem problem;
  problem.activation = up.activation;
  problem.function = experts.gate ? kernels::ExpertFunction::kSilu : kernels::ExpertFunction::kRelu2;
  problem.hidden = static_cast<std::uint32_t>(up.in_features);
  problem.intermediate = static_cast<std::uint32_t>(up.out_features);
  problem.num_experts = up.num_experts;
  problem.top_k = 1;
  problem.input_rule = up.input_rule;
  problem.one_fc1_input_scale = std::ranges::all_of(up.input_scale, [&](float s) { return s == up.input_scale[0]; });
  if (std::string why = moe_limits_refusal(problem); !why.empty()) return refused(up, std::move(why));
  return problem;
}

Result<DeviceLinear> move_to_device(PreparedWeight weight, DeviceStager& stager, WorkerPool& pool) {
  weight.look_at_scales(pool);
  auto problem = device_linear_problem(weight);
  NVFP4_RETURN_IF_ERROR(problem);
  DeviceLinear out;
  out.name = weight.name;
  out.problem = *problem;
  if (!weight.per_row_scale) out.shards = shards_of(weight);
  if (!weight.input_scale.empty()) out.input_scale = weight.input_scale[0];
  if (weight.format == WeightFormat::kNvfp4) out.layout = stager.nvfp4_layout();
  NVFP4_RETURN_IF_ERROR(move_elements(weight, stager, out.elements));
  if (weight.per_row_scale) NVFP4_RETURN_IF_ERROR(move_floats(weight.scale2, weight.name, stager, out.row_scales));
  NVFP4_RETURN_IF_ERROR(move_floats(weight.pre_quant_scale, weight.name, stager, out.pre_quant_scale));
  NVFP4_RETURN_IF_ERROR(move_floats(weight.bias, weight.name, stager, out.bias));
  NVFP4_RETURN_IF_ERROR(stager.finish());
  return out;
}

Result<DeviceExpertWeights> move_to_device(ExpertProjections experts, DeviceStager& stager, WorkerPool& pool) {
  if (experts.gate) experts.gate->look_at_scales(pool);
  experts.up.look_at_scales(pool);
  experts.down.look_at_scales(pool);
  NVFP4_RETURN_IF_ERROR(device_expert_problem(experts));
  const PreparedWeight& up = experts.up;
  const PreparedWeight& down = experts.down;
  DeviceExpertWeights out;
  out.layout = stager.nvfp4_layout();
  NVFP4_RETURN_IF_ERROR(move_matrices(experts, stager, out));
  if (experts.gate) NVFP4_RETURN_IF_ERROR(move_floats(experts.gate->scale2, up.name, stager, out.gate_scale2));
  NVFP4_RETURN_IF_ERROR(move_floats(up.scale2, up.name, stager, out.up_scale2));
  NVFP4_RETURN_IF_ERROR(move_floats(down.scale2, down.name, stager, out.down_scale2));
  NVFP4_RETURN_IF_ERROR(move_floats(up.input_scale, up.name, stager, out.fc1_input_scale));
  NVFP4_RETURN_IF_ERROR(move_floats(down.input_scale, down.name, stager, out.fc2_input_scale));
  NVFP4_RETURN_IF_ERROR(stager.finish());
  return out;
}

}  // namespace nvfp4::prepare
