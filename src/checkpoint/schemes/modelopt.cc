// ModelOpt's export: hf_quant_config.json {producer, quantization: {...}}, and the flat form that its converter puts
// into config.json as quantization_config {quant_method: modelopt, quant_algo, ignore, ...}.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "checkpoint/schemes/schemes.h"

namespace nvfp4::checkpoint {
namespace {

struct Algorithm {
  std::string_view name;
  DeclaredWeights weights;
  Activation activation;
};

constexpr std::array kAlgorithms{
    Algorithm{"NVFP4", DeclaredWeights::kNvfp4, Activation::kNvfp4Static},
    Algorithm{"W4A16_NVFP4", DeclaredWeights::kNvfp4, Activation::k16Bit},
    Algorithm{"NVFP4_AWQ", DeclaredWeights::kNvfp4, Activation::kNvfp4Static},
    Algorithm{"FP8", DeclaredWeights::kFp8PerTensor, Activation::kFp8Static},
    Algorithm{"FP8_PER_CHANNEL_PER_TOKEN", DeclaredWeights::kFp8PerRow, Activation::kFp8Dynamic},
};

constexpr std::string_view kSupported =
    "NVFP4, W4A16_NVFP4, NVFP4_AWQ, FP8, FP8_PER_CHANNEL_PER_TOKEN and MIXED_PRECISION";

Error unsupported_algorithm(const std::string& where, const std::string& name) {
  return {ErrorCode::kUnsupported, where,
          fmt::format("\"{}\" is not an algorithm this library reads; it reads {}", name, kSupported)};
}

// One {quant_algo, group_size, activation_scheme} object, at the top or of one layer.
Result<DeclaredScheme> read_algorithm(JsonObject object, const std::string& where) {
  const auto field = find_field(object, where, "quant_algo");
  if (!field) return Error{ErrorCode::kMalformed, where, "quant_algo is missing"};
  auto name = as_string(*field);
  if (!name) return std::move(name).error();
  std::string upper = *name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto* it =
      std::find_if(kAlgorithms.begin(), kAlgorithms.end(), [&](const Algorithm& a) { return a.name == upper; });
  if (it == kAlgorithms.end()) return unsupported_algorithm(field->where, *name);

  DeclaredScheme scheme{it->weights, it->activation, 0,
                        fmt::format("{} = {}", without_directories(field->where), *name)};
  if (auto group = find_field(object, where, "group_size")) {
    auto size = as_uint(*group, 0, 4096);  // 0 is what the exporter writes for algorithms without groups
    if (!size) return std::move(size).error();
    scheme.block_size = static_cast<std::uint32_t>(*size);
  }
  if (auto activation = find_field(object, where, "activation_scheme")) {
    auto text = as_string(*activation);
    if (!text) return std::move(text).error();
    if (*text == "dynamic" && scheme.activation == Activation::kNvfp4Static)
      scheme.activation = Activation::kNvfp4Dynamic;
  }
  return scheme;
}

Status read_quantized_layers(const JsonField& field, QuantizationMap& map) {
  auto layers = as_object(field);
  if (!layers) return std::move(layers).error();
  for (auto [module, element] : *layers) {
    const JsonField layer{element, fmt::format("{}[\"{}\"]", field.where, module)};
    auto object = as_object(layer);
    if (!object) return std::move(object).error();
    auto scheme = read_algorithm(*object, layer.where);
    if (!scheme) return std::move(scheme).error();
    map.targets.add_name(module, static_cast<std::uint32_t>(map.schemes.size()), /*covers_children=*/true);
    map.schemes.push_back(std::move(scheme).value());
  }
  map.targets_before_ignore = true;
  return {};
}

// `object` holds quant_algo and its companions; `ignore_key` is exclude_modules or ignore.
Status read_body(JsonObject object, const std::string& where, std::string_view ignore_key, QuantizationMap& map) {
  std::string algorithm;
  if (auto field = find_field(object, where, "quant_algo")) {
    auto name = as_string(*field);
    if (!name) return std::move(name).error();
    algorithm = *name;
  }
  if (auto ignore = find_field(object, where, ignore_key))
    NVFP4_RETURN_IF_ERROR(read_ignore_list(*ignore, /*globs=*/true, map));
  for (std::string_view key : {"kv_cache_quant_algo", "kv_cache_scheme"}) {
    if (auto field = find_field(object, where, key)) {
      auto scheme = read_kv_cache_scheme(*field);
      if (!scheme) return std::move(scheme).error();
      map.kv_cache_scheme = *scheme;
    }
  }
  const auto layers = find_field(object, where, "quantized_layers");
  const auto groups = find_field(object, where, "config_groups");
  if (algorithm == "MIXED_PRECISION") {
    map.declared = true;
    if (layers) return read_quantized_layers(*layers, map);
    if (groups) return read_config_groups(*groups, map);
    map.conflicts.push_back(
        {where + ".quantized_layers", "MIXED_PRECISION without a table of layers; schemes come from the tensors"});
    return {};
  }
  if (algorithm.empty()) {
    if (!groups) return {};  // only the key-value cache is quantised, or nothing
    map.declared = true;
    return read_config_groups(*groups, map);
  }
  auto scheme = read_algorithm(object, where);
  if (!scheme) return std::move(scheme).error();
  map.declared = true;
  map.targets.add_class(ModuleClass::kLinear, static_cast<std::uint32_t>(map.schemes.size()));
  map.targets.add_class(ModuleClass::kEmbedding, static_cast<std::uint32_t>(map.schemes.size()));
  map.schemes.push_back(std::move(scheme).value());
  return {};
}

Status read_producer(JsonObject object, const std::string& where, QuantizationMap& map) {
  const auto field = find_field(object, where, "producer");
  if (!field) return {};
  auto producer = as_object(*field);
  if (!producer) return std::move(producer).error();
  std::string text = "modelopt";
  if (auto name = find_field(*producer, field->where, "name")) {
    auto value = as_string(*name);
    if (!value) return std::move(value).error();
    text = *value;
  }
  if (auto version = find_field(*producer, field->where, "version")) {
    auto value = as_string(*version);
    if (!value) return std::move(value).error();
    text += " " + *value;
  }
  map.producer = text;
  return {};
}

Result<QuantizationMap> read_hf_quant_config(const ConfigDocument& document) {
  QuantizationMap map;
  map.producer = "modelopt";
  NVFP4_RETURN_IF_ERROR(read_producer(document.root(), document.label(), map));
  const auto field = find_field(document.root(), document.label(), "quantization");
  if (!field) return Error{ErrorCode::kMalformed, document.label(), "the object \"quantization\" is missing"};
  auto body = as_object(*field);
  if (!body) return std::move(body).error();
  NVFP4_RETURN_IF_ERROR(read_body(*body, field->where, "exclude_modules", map));
  return map;
}

Result<QuantizationMap> read_flat_config(const JsonField& field) {
  QuantizationMap map;
  map.producer = "modelopt";
  auto object = as_object(field);
  if (!object) return std::move(object).error();
  NVFP4_RETURN_IF_ERROR(read_producer(*object, field.where, map));
  if (auto nested = find_field(*object, field.where, "quantization")) {
    auto body = as_object(*nested);
    if (!body) return std::move(body).error();
    NVFP4_RETURN_IF_ERROR(read_body(*body, nested->where, "exclude_modules", map));
    return map;
  }
  NVFP4_RETURN_IF_ERROR(read_body(*object, field.where, "ignore", map));
  return map;
}

// Whether two files that each declare one algorithm for all layers say the same.
void compare(const QuantizationMap& first, QuantizationMap& second_wins_nothing, QuantizationMap& merged) {
  if (first.schemes.size() != 1 || second_wins_nothing.schemes.size() != 1) return;
  const DeclaredScheme& a = first.schemes[0];
  const DeclaredScheme& b = second_wins_nothing.schemes[0];
  if (a.weights == b.weights && a.activation == b.activation) return;
  merged.conflicts.push_back({"quant_algo", fmt::format("{}, but {}; the tensors decide", a.evidence, b.evidence)});
  if (a.activation != b.activation) {
    merged.undecided_activation =
        Error{ErrorCode::kContradiction, a.evidence,
              fmt::format("{} says otherwise, and the tensors fit both; correct one of the two files", b.evidence)};
  }
}

}  // namespace

Result<QuantizationMap> read_modelopt_config(const std::optional<ConfigDocument>& hf_quant_config,
                                             const std::optional<JsonField>& quantization_config) {
  std::optional<QuantizationMap> flat;
  if (quantization_config) {
    auto map = read_flat_config(*quantization_config);
    if (!map) return std::move(map).error();
    flat = std::move(map).value();
  }
  if (!hf_quant_config) return flat ? std::move(*flat) : QuantizationMap{};
  auto nested = read_hf_quant_config(*hf_quant_config);
  if (!nested || !flat) return nested;
  QuantizationMap& map = *nested;
  compare(map, *flat, map);
  // The converter drops what it does not know: take from config.json only what the fuller file leaves open.
  if (map.kv_cache_scheme.empty()) map.kv_cache_scheme = flat->kv_cache_scheme;
  if (map.schemes.empty() && !flat->schemes.empty()) {
    flat->kv_cache_scheme = map.kv_cache_scheme;
    flat->conflicts.insert(flat->conflicts.end(), map.conflicts.begin(), map.conflicts.end());
    return std::move(*flat);
  }
  return nested;
}

}  // namespace nvfp4::checkpoint
