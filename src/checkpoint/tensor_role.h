// What a tensor name says: data of a weight, one of its companions, or something that reading for text leaves aside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nvfp4::checkpoint {

enum class Role : std::uint8_t {
  kData,               // weight, weight_packed, or any parameter without a companion's suffix
  kWeightScale,        // weight_scale: E4M3 per block, or FP32 per tensor or row
  kWeightScale2,       // weight_scale_2: FP32 multiplier
  kWeightGlobalScale,  // weight_global_scale: FP32 divisor
  kInputScale,         // input_scale: FP32 multiplier
  kInputGlobalScale,   // input_global_scale: FP32 divisor
  kPreQuantScale,      // pre_quant_scale
  kUnusedCompanion,    // weight_zero_point, weight_g_idx, weight_shape, weight_scale_inv, ...
  kKvScale,            // k_scale, v_scale
};
inline constexpr std::size_t kNumRoles = 9;

// "a.experts.gate_up_proj_weight_scale" -> {kWeightScale, "a.experts.", "gate_up_proj"};
// "a.q_proj.weight_packed" -> {kData, "a.q_proj.", ""}. prefix + stem names the module.
struct TensorRole {
  Role role = Role::kData;
  std::string_view prefix;  // up to and with the last dot
  std::string_view stem;    // what precedes the suffix inside the last component
};

[[nodiscard]] TensorRole tensor_role(std::string_view name);

// Name of a companion of the weight: companion_name(role, "weight_scale") = "a.experts.gate_up_proj_weight_scale".
[[nodiscard]] std::string companion_name(const TensorRole& data, std::string_view suffix);
// "a.q_proj", "a.experts.gate_up_proj".
[[nodiscard]] std::string_view module_name(std::string_view tensor_name, const TensorRole& role);
// Name of the parameter in the unquantised model: drops "_packed".
[[nodiscard]] std::string parameter_name(std::string_view tensor_name);

// Why a tensor is not part of the text model: a vision or audio tower, a multi-token-prediction head, a buffer.
// num_layers and num_nextn_layers as in ModelConfig.
[[nodiscard]] std::optional<std::string_view> reason_to_ignore(std::string_view name, std::uint64_t num_layers,
                                                               std::uint64_t num_nextn_layers);

// "a.mlp.experts.17.up_proj.weight" -> {"a.mlp.experts.", ".up_proj.weight"}: the same for all experts of a layer.
struct ExpertGroup {
  std::string_view prefix;
  std::string_view suffix;
  bool operator==(const ExpertGroup&) const = default;
};
[[nodiscard]] std::optional<ExpertGroup> expert_group(std::string_view name);

}  // namespace nvfp4::checkpoint
