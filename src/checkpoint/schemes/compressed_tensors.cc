// compressed-tensors' quantization_config: config_groups of {targets, weights, input_activations}, ignore,
// kv_cache_scheme. The top-level `format` names a packing, not a scheme: it is not looked at.
#include <fmt/format.h>

#include <utility>

#include "checkpoint/schemes/schemes.h"

namespace nvfp4::checkpoint {
namespace {

// One QuantizationArgs object: the numbers that decide, everything else is the producer's business.
struct QuantizationArgs {
  std::uint64_t num_bits = 0;
  std::string type = "int";
  std::string strategy;  // empty: not said
  std::uint64_t group_size = 0;
  bool dynamic = false;
  bool local = false;  // dynamic: "local": block scales at run time under a static global scale
};

Result<QuantizationArgs> read_args(const JsonField& field) {
  QuantizationArgs args;
  auto object = as_object(field);
  if (!object) return std::move(object).error();
  if (auto bits = find_field(*object, field.where, "num_bits")) {
    auto value = as_uint(*bits, 1, 16);
    if (!value) return std::move(value).error();
    args.num_bits = *value;
  }
  for (auto [key, target] : {std::pair{"type", &args.type}, std::pair{"strategy", &args.strategy}}) {
    if (auto text = find_field(*object, field.where, key)) {
      auto value = as_string(*text);
      if (!value) return std::move(value).error();
      *target = *value;
    }
  }
  if (auto group = find_field(*object, field.where, "group_size"); group && !group->element.is_int64()) {
    auto value = as_uint(*group, 0, 4096);
    if (!value) return std::move(value).error();
  } else if (group) {
    const std::int64_t size = group->element.get_int64();
    if (size < -1 || size > 4096)
      return Error{ErrorCode::kMalformed, group->where, fmt::format("{} is not a group size", size)};
    args.group_size = size > 0 ? static_cast<std::uint64_t>(size) : 0;  // -1: one group per row
  }
  if (auto dynamic = find_field(*object, field.where, "dynamic")) {
    if (dynamic->element.is_string()) {
      auto text = as_string(*dynamic);
      args.local = *text == "local";
      args.dynamic = true;
    } else {
      auto value = as_bool(*dynamic);
      if (!value) return std::move(value).error();
      args.dynamic = *value;
    }
  }
  return args;
}

// The declared scheme of a group, or the reason why this library does not read it.
std::optional<std::string> interpret(const QuantizationArgs& weights, const std::optional<QuantizationArgs>& input,
                                     DeclaredScheme& out) {
  if (weights.type == "float" && weights.num_bits == 4) {
    if (weights.group_size != 16 && weights.group_size != 32)
      return fmt::format("4-bit float weights in groups of {}", weights.group_size);
    out.weights = DeclaredWeights::kNvfp4;
    out.block_size = static_cast<std::uint32_t>(weights.group_size);
    if (!input) {
      out.activation = Activation::k16Bit;
    } else if (input->type != "float" || input->num_bits != 4) {
      return fmt::format("4-bit float weights with {}-bit {} activations", input->num_bits, input->type);
    } else {
      out.activation = input->dynamic && !input->local ? Activation::kNvfp4Dynamic : Activation::kNvfp4Static;
    }
    return std::nullopt;
  }
  if (weights.type == "float" && weights.num_bits == 8) {
    if (weights.strategy == "block" || weights.strategy == "group")
      return fmt::format("8-bit float weights with strategy \"{}\"", weights.strategy);
    out.weights = weights.strategy == "channel" ? DeclaredWeights::kFp8PerRow : DeclaredWeights::kFp8PerTensor;
    if (!input) {
      out.activation = Activation::k16Bit;
    } else if (input->type != "float" || input->num_bits != 8) {
      return fmt::format("8-bit float weights with {}-bit {} activations", input->num_bits, input->type);
    } else {
      out.activation = input->dynamic ? Activation::kFp8Dynamic : Activation::kFp8Static;
    }
    return std::nullopt;
  }
  return fmt::format("{}-bit {} weights", weights.num_bits, weights.type);
}

// The presets that compressed-tensors accepts in place of a group object.
std::optional<DeclaredScheme> preset(std::string_view name) {
  if (name == "NVFP4") return DeclaredScheme{DeclaredWeights::kNvfp4, Activation::kNvfp4Static, 16, ""};
  if (name == "NVFP4A16") return DeclaredScheme{DeclaredWeights::kNvfp4, Activation::k16Bit, 16, ""};
  if (name == "FP8") return DeclaredScheme{DeclaredWeights::kFp8PerTensor, Activation::kFp8Static, 0, ""};
  if (name == "FP8_DYNAMIC") return DeclaredScheme{DeclaredWeights::kFp8PerRow, Activation::kFp8Dynamic, 0, ""};
  return std::nullopt;
}

Status add_targets(const JsonField& targets, std::uint32_t scheme_idx, QuantizationMap& map) {
  auto list = as_array(targets);
  if (!list) return std::move(list).error();
  for (JsonElement element : *list) {
    auto target = as_string({element, targets.where});
    if (!target) return std::move(target).error();
    if (auto problem = map.targets.add_target(*target, scheme_idx)) {
      map.conflicts.push_back(
          {targets.where, fmt::format("pattern \"{}\" is not understood ({}); the tensors decide", *target, *problem)});
    }
  }
  return {};
}

Status read_group(const JsonField& field, QuantizationMap& map) {
  auto group = as_object(field);
  if (!group) return std::move(group).error();
  const auto weights_field = find_field(*group, field.where, "weights");
  if (!weights_field) return {};  // only activations or outputs of these modules are observed
  auto weights = read_args(*weights_field);
  if (!weights) return std::move(weights).error();
  std::optional<QuantizationArgs> input;
  if (auto input_field = find_field(*group, field.where, "input_activations")) {
    auto args = read_args(*input_field);
    if (!args) return std::move(args).error();
    input = *args;
  }
  DeclaredScheme scheme;
  if (auto reason = interpret(*weights, input, scheme)) {
    scheme.weights = DeclaredWeights::kUnsupported;
    scheme.evidence = fmt::format("{}: {}", without_directories(field.where), *reason);
  } else {
    scheme.evidence =
        fmt::format("{}.input_activations = {}", without_directories(field.where),
                    input ? fmt::format("{}-bit {}", input->num_bits, input->dynamic ? "dynamic" : "static") : "null");
  }
  const auto targets = find_field(*group, field.where, "targets");
  if (!targets) return Error{ErrorCode::kMalformed, field.where, "targets is missing"};
  const auto scheme_idx = static_cast<std::uint32_t>(map.schemes.size());
  map.schemes.push_back(std::move(scheme));
  return add_targets(*targets, scheme_idx, map);
}

}  // namespace

Status read_config_groups(const JsonField& config_groups, QuantizationMap& map) {
  auto groups = as_object(config_groups);
  if (!groups) return std::move(groups).error();
  for (auto [name, element] : *groups) {
    const JsonField group{element, fmt::format("{}.{}", config_groups.where, name)};
    if (!element.is_array()) {
      NVFP4_RETURN_IF_ERROR(read_group(group, map));
      continue;
    }
    auto scheme = preset(name);
    if (!scheme)
      return Error{ErrorCode::kUnsupported, group.where,
                   "is not a preset this library knows (NVFP4, NVFP4A16, FP8, FP8_DYNAMIC)"};
    scheme->evidence = without_directories(group.where);
    const auto scheme_idx = static_cast<std::uint32_t>(map.schemes.size());
    map.schemes.push_back(std::move(*scheme));
    NVFP4_RETURN_IF_ERROR(add_targets(group, scheme_idx, map));
  }
  return {};
}

Status read_ignore_list(const JsonField& list, bool globs, QuantizationMap& map) {
  auto array = as_array(list);
  if (!array) return std::move(array).error();
  int num_markers = 0;
  for (JsonElement element : *array) {
    auto entry = as_string({element, list.where});
    if (!entry) return std::move(entry).error();
    if (const std::size_t nul = entry->find('\0'); nul != std::string::npos) {
      // ModelOpt beside transformers 5 leaves a marker of its renaming in the names: "lm_head.\0backbone.<marker>*".
      const bool glob = entry->back() == '*';
      entry->resize(nul > 0 && (*entry)[nul - 1] == '.' ? nul - 1 : nul);
      if (glob) *entry += '*';
      if (++num_markers == 1) {
        map.conflicts.push_back({std::string(without_directories(list.where)),
                                 fmt::format("names hold a NUL byte; they are read up to it, as \"{}\"", *entry)});
      }
    }
    if (globs && !entry->starts_with("re:")) {
      if (entry->find_first_of("*?[") != std::string::npos) {
        map.ignore.add_glob(*entry, 0);
      } else {
        map.ignore.add_name(*entry, 0, /*covers_children=*/true);
      }
    } else if (auto problem = map.ignore.add_target(*entry, 0)) {
      map.conflicts.push_back(
          {list.where, fmt::format("pattern \"{}\" is not understood ({}); the tensors decide", *entry, *problem)});
    }
  }
  return {};
}

Result<std::string> read_kv_cache_scheme(const JsonField& field) {
  if (field.element.is_string()) {
    auto text = as_string(field);
    for (char& c : *text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return *text == "none" ? std::string() : *text;
  }
  auto args = read_args(field);
  if (!args) return std::move(args).error();
  if (args->type == "float" && args->num_bits == 8) return std::string("fp8");
  if (args->type == "float" && args->num_bits == 4) return std::string("nvfp4");
  return fmt::format("{}{}", args->type, args->num_bits);
}

Result<QuantizationMap> read_compressed_tensors_config(const JsonField& quantization_config) {
  QuantizationMap map;
  map.declared = true;
  map.producer = "compressed-tensors";
  auto object = as_object(quantization_config);
  if (!object) return std::move(object).error();
  if (auto version = find_field(*object, quantization_config.where, "version")) {
    auto text = as_string(*version);
    if (!text) return std::move(text).error();
    map.producer += " " + *text;
  }
  if (auto ignore = find_field(*object, quantization_config.where, "ignore")) {
    NVFP4_RETURN_IF_ERROR(read_ignore_list(*ignore, /*globs=*/false, map));
  }
  if (auto kv = find_field(*object, quantization_config.where, "kv_cache_scheme")) {
    auto scheme = read_kv_cache_scheme(*kv);
    if (!scheme) return std::move(scheme).error();
    map.kv_cache_scheme = *scheme;
  }
  if (auto groups = find_field(*object, quantization_config.where, "config_groups")) {
    NVFP4_RETURN_IF_ERROR(read_config_groups(*groups, map));
  }
  return map;
}

}  // namespace nvfp4::checkpoint
