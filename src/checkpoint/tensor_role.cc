#include "checkpoint/tensor_role.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace nvfp4::checkpoint {
namespace {

constexpr std::array<std::pair<std::string_view, Role>, 13> kSuffixes{{
    {"weight_scale", Role::kWeightScale},
    {"weight_scale_2", Role::kWeightScale2},
    {"weight_global_scale", Role::kWeightGlobalScale},
    {"input_scale", Role::kInputScale},
    {"input_global_scale", Role::kInputGlobalScale},
    {"pre_quant_scale", Role::kPreQuantScale},
    {"weight_zero_point", Role::kUnusedCompanion},
    {"weight_g_idx", Role::kUnusedCompanion},
    {"weight_shape", Role::kUnusedCompanion},
    {"weight_scale_inv", Role::kUnusedCompanion},
    {"k_scale", Role::kKvScale},
    {"v_scale", Role::kKvScale},
    {"weight_packed", Role::kData},
}};

constexpr std::array<std::string_view, 13> kTowers{"visual",
                                                   "vision_tower",
                                                   "vision_model",
                                                   "vision_encoder",
                                                   "vision_adapter",
                                                   "vision_embed_tokens",
                                                   "embed_vision",
                                                   "audio_tower",
                                                   "audio_model",
                                                   "audio_encoder",
                                                   "embed_audio",
                                                   "mm_projector",
                                                   "multi_modal_projector"};

bool has_component(std::string_view name, std::string_view component) {
  for (std::size_t at = name.find(component); at != std::string_view::npos; at = name.find(component, at + 1)) {
    const std::size_t end = at + component.size();
    if ((at == 0 || name[at - 1] == '.') && (end == name.size() || name[end] == '.')) return true;
  }
  return false;
}

std::optional<std::uint64_t> layer_number(std::string_view name) {
  const std::size_t at = name.find("layers.");
  if (at == std::string_view::npos || (at > 0 && name[at - 1] != '.')) return std::nullopt;
  std::uint64_t number = 0;
  const char* first = name.data() + at + 7;
  const auto [end, error] = std::from_chars(first, name.data() + name.size(), number);
  if (error != std::errc() || end == first) return std::nullopt;
  return number;
}

}  // namespace

TensorRole tensor_role(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  const std::size_t leaf_begin = dot == std::string_view::npos ? 0 : dot + 1;
  const std::string_view prefix = name.substr(0, leaf_begin);
  const std::string_view leaf = name.substr(leaf_begin);
  // By length first: the spellings of nearly every tensor of a large file.
  if (leaf.size() == 6 && leaf == "weight") return {Role::kData, prefix, {}};
  if (leaf.size() == 12 && leaf == "weight_scale") return {Role::kWeightScale, prefix, {}};
  if (leaf.size() == 14 && leaf == "weight_scale_2") return {Role::kWeightScale2, prefix, {}};
  if (leaf.size() == 11 && leaf == "input_scale") return {Role::kInputScale, prefix, {}};
  const char last = leaf.empty() ? '\0' : leaf.back();
  if (last == 'e' || last == '2' || last == 'd' || last == 't' || last == 'x' || last == 'v') {
    for (const auto& [suffix, role] : kSuffixes) {
      if (!leaf.ends_with(suffix)) continue;
      const std::size_t rest = leaf.size() - suffix.size();
      if (rest == 0) return {role, prefix, {}};
      if (leaf[rest - 1] == '_' && rest > 1) return {role, prefix, leaf.substr(0, rest - 1)};
    }
    if (leaf.ends_with("_weight") && leaf.size() > 7) return {Role::kData, prefix, leaf.substr(0, leaf.size() - 7)};
  }
  return {Role::kData, prefix, leaf};
}

std::string companion_name(const TensorRole& data, std::string_view suffix) {
  std::string name;
  name.reserve(data.prefix.size() + data.stem.size() + suffix.size() + 1);
  name.append(data.prefix);
  if (!data.stem.empty()) name.append(data.stem).append(1, '_');
  name.append(suffix);
  return name;
}

std::string_view module_name(std::string_view tensor_name, const TensorRole& role) {
  if (!role.stem.empty()) return tensor_name.substr(0, role.prefix.size() + role.stem.size());
  return tensor_name.substr(0, role.prefix.empty() ? 0 : role.prefix.size() - 1);
}

std::string parameter_name(std::string_view tensor_name) {
  constexpr std::string_view kPacked = "weight_packed";
  if (tensor_name.ends_with(kPacked)) tensor_name.remove_suffix(kPacked.size() - std::string_view("weight").size());
  return std::string(tensor_name);
}

std::optional<std::string_view> reason_to_ignore(std::string_view name, std::uint64_t num_layers,
                                                 std::uint64_t num_nextn_layers) {
  // Inside the text model's layers there are no towers: this is nearly every tensor of a large file.
  const bool in_text_layers = name.starts_with("model.layers.") || name.starts_with("model.language_model.layers.");
  if (!in_text_layers) {
    for (std::string_view tower : kTowers) {
      if (has_component(name, tower)) return "vision or audio tower";
    }
    if (has_component(name, "mtp") || has_component(name, "mtp_layers")) return "multi-token-prediction head";
  }
  if (num_nextn_layers > 0 && num_layers > 0) {
    if (auto number = layer_number(name); number && *number >= num_layers) return "multi-token-prediction head";
  }
  if (name.ends_with("rotary_emb.inv_freq")) return "buffer that the configuration determines";
  return std::nullopt;
}

std::optional<ExpertGroup> expert_group(std::string_view name) {
  constexpr std::string_view kExperts = "experts.";
  const std::size_t at = name.find(kExperts);
  if (at == std::string_view::npos || (at > 0 && name[at - 1] != '.')) return std::nullopt;
  const std::size_t digits = at + kExperts.size();
  std::size_t end = digits;
  while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
  if (end == digits || end == name.size() || name[end] != '.') return std::nullopt;
  return ExpertGroup{name.substr(0, digits), name.substr(end)};
}

}  // namespace nvfp4::checkpoint
