#include "plan/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/nearest_name.h"

namespace nvfp4::plan {
namespace {

using kernels::ExpertFunction;
using kernels::WeightFormat;

struct SchemeName {
  std::string_view name;
  WeightFormat weight;
  Activation activation;
};
constexpr std::array<SchemeName, 9> kSchemes = {{{"w4a16", WeightFormat::kNvfp4, Activation::k16Bit},
                                                 {"w4a4", WeightFormat::kNvfp4, Activation::kNvfp4Static},
                                                 {"w4a4-token", WeightFormat::kNvfp4, Activation::kNvfp4Dynamic},
                                                 {"fp8", WeightFormat::kFp8, Activation::k16Bit},
                                                 {"w8a8", WeightFormat::kFp8, Activation::kFp8Static},
                                                 {"w8a8-token", WeightFormat::kFp8, Activation::kFp8Dynamic},
                                                 {"bf16", WeightFormat::kBF16, Activation::k16Bit},
                                                 {"f16", WeightFormat::kF16, Activation::k16Bit},
                                                 {"f32", WeightFormat::kF32, Activation::k16Bit}}};
constexpr std::array kFunctions = {ExpertFunction::kSilu, ExpertFunction::kGeluTanh, ExpertFunction::kSwigluOai,
                                   ExpertFunction::kRelu2};
constexpr std::array<std::string_view, 3> kOperations = {"linear", "moe", "embedding"};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

template <class Integer>
bool read_number(std::string_view text, Integer& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out > 0;
}

// "n4096" into n.
bool read_field(std::string_view part, Layer& layer) {
  const auto is = [&](std::string_view prefix, auto& target) {
    return part.starts_with(prefix) && read_number(part.substr(prefix.size()), target);
  };
  const bool is_moe = layer.operation == Operation::kExperts;
  if (part == "rows") return layer.per_row_scale = true;
  if (part == "bias") return layer.has_bias = true;
  if (part == "awq") return layer.has_pre_quant_scale = true;
  if (part == "odd") return layer.odd_scales = true;
  if (part == "tied") return layer.is_tied = true;
  if (part == "ownscales") {
    layer.one_fc1_input_scale = false;
    return is_moe;
  }
  if (is("block", layer.block_size) || is("shards", layer.num_shards)) return true;
  if (is_moe) {
    return is("h", layer.in_features) || is("i", layer.out_features) || is("e", layer.num_experts) ||
           is("k", layer.top_k);
  }
  return is("n", layer.out_features) || is("k", layer.in_features);
}

Error bad(const std::string& where, std::string message) {
  return Error{ErrorCode::kMalformed, where, std::move(message)};
}

// Operation, scheme and function; `parts` is then what is left of them.
Status read_names(std::vector<std::string_view>& parts, const std::string& where, Layer& layer) {
  const auto operation = std::find(kOperations.begin(), kOperations.end(), parts[0]);
  if (operation == kOperations.end()) {
    return bad(where, fmt::format("\"{}\" is no operation; {}", parts[0], suggestion(parts[0], kOperations)));
  }
  layer.operation = static_cast<Operation>(operation - kOperations.begin());
  const bool is_moe = layer.operation == Operation::kExperts;
  if (parts.size() < (is_moe ? 3U : 2U)) return bad(where, "a problem is \"linear/SCHEME/nN/kK\"");
  std::vector<std::string_view> names;
  const SchemeName* scheme = nullptr;
  for (const SchemeName& known : kSchemes) {
    names.push_back(known.name);
    if (known.name == parts[1]) scheme = &known;
  }
  if (scheme == nullptr) {
    return bad(where, fmt::format("\"{}\" is no scheme; {}", parts[1], suggestion(parts[1], names)));
  }
  layer.weight = scheme->weight;
  layer.activation = scheme->activation;
  layer.has_input_scale =
      scheme->activation == Activation::kNvfp4Static || scheme->activation == Activation::kFp8Static;
  if (layer.weight == WeightFormat::kNvfp4) layer.block_size = 16;
  if (is_moe) {
    names.clear();
    for (const ExpertFunction function : kFunctions) names.push_back(expert_function_name(function));
    const auto found = std::find(names.begin(), names.end(), parts[2]);
    if (found == names.end()) {
      return bad(where, fmt::format("\"{}\" is no function of experts; {}", parts[2], suggestion(parts[2], names)));
    }
    layer.function = kFunctions.at(static_cast<std::size_t>(found - names.begin()));
  }
  parts.erase(parts.begin(), parts.begin() + (is_moe ? 3 : 2));
  return {};
}

}  // namespace

std::string_view layer_scheme(const Layer& layer) {
  switch (layer.weight) {
    case WeightFormat::kNvfp4:
      return layer.activation == Activation::k16Bit ? "nvfp4_w4a16" : "nvfp4_w4a4";
    case WeightFormat::kFp8:
      return "fp8";
    case WeightFormat::kF16:
      return "fp16";
    case WeightFormat::kF32:
      return "fp32";
    case WeightFormat::kBF16:
      break;
  }
  return "bf16";
}

std::string problem_text(const Layer& layer) {
  std::string_view scheme = "f32";
  for (const SchemeName& known : kSchemes) {
    if (known.weight == layer.weight && known.activation == layer.activation) scheme = known.name;
  }
  std::string text = fmt::format("{}/{}", kOperations.at(static_cast<std::size_t>(layer.operation)), scheme);
  if (layer.operation == Operation::kExperts) {
    text += fmt::format("/{}/h{}/i{}/e{}/k{}", expert_function_name(layer.function), layer.in_features,
                        layer.out_features, layer.num_experts, layer.top_k);
    if (!layer.one_fc1_input_scale) text += "/ownscales";
  } else {
    text += fmt::format("/n{}/k{}", layer.out_features, layer.in_features);
  }
  if (layer.weight == WeightFormat::kNvfp4 && layer.block_size != 16) text += fmt::format("/block{}", layer.block_size);
  if (layer.per_row_scale) text += "/rows";
  if (layer.has_bias) text += "/bias";
  if (layer.has_pre_quant_scale) text += "/awq";
  if (layer.num_shards > 1) text += fmt::format("/shards{}", layer.num_shards);
  if (layer.odd_scales) text += "/odd";
  if (layer.is_tied) text += "/tied";
  return text;
}

std::string layer_text(const Layer& layer) {
  return fmt::format("{} {} {}", layer.num_layers, layer.kind, problem_text(layer));
}

Result<Layer> parse_layer(std::string_view line, const std::string& where) {
  std::vector<std::string_view> words = split(line, ' ');
  std::erase(words, std::string_view());
  Layer layer;
  if (words.size() != 3 || !read_number(words[0], layer.num_layers)) {
    return bad(where, "a layer is \"COUNT KIND PROBLEM\", as 48 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8");
  }
  layer.kind = words[1];
  std::vector<std::string_view> parts = split(words[2], '/');
  NVFP4_RETURN_IF_ERROR(read_names(parts, where, layer));
  for (const std::string_view part : parts) {
    if (!read_field(part, layer)) return bad(where, fmt::format("\"{}\" says nothing of this operation", part));
  }
  if (layer.out_features == 0 || layer.in_features == 0) {
    return bad(where, layer.operation == Operation::kExperts ? "h or i is missing" : "n or k is missing");
  }
  layer.cut = cut_of(layer);
  return layer;
}

std::string layer_kind(std::string_view module) {
  constexpr std::string_view kLayers = "layers.";
  if (const auto at = module.find(kLayers); at != std::string_view::npos) {
    const auto dot = module.find('.', at + kLayers.size());
    if (dot != std::string_view::npos) return std::string(module.substr(dot + 1));
  }
  return std::string(module.substr(module.rfind('.') + 1));
}

Cut cut_of(const Layer& layer) {
  if (layer.operation != Operation::kLinear) return Cut::kRows;
  const std::string_view kind = layer.kind;
  const std::size_t dot = kind.rfind('.');
  const std::string_view name = kind.substr(dot == std::string_view::npos ? 0 : dot + 1);
  constexpr std::array<std::string_view, 6> kColumns = {"o_proj", "down_proj", "out_proj", "w2", "dense_4h_to_h", "wo"};
  constexpr std::array<std::string_view, 13> kRows = {"q_proj",    "k_proj",       "v_proj",   "qkv_proj", "gate_proj",
                                                      "up_proj",   "gate_up_proj", "w1",       "w3",       "q_b_proj",
                                                      "kv_b_proj", "lm_head",      "in_proj_z"};
  if (std::find(kColumns.begin(), kColumns.end(), name) != kColumns.end()) return Cut::kColumns;
  return std::find(kRows.begin(), kRows.end(), name) != kRows.end() ? Cut::kRows : Cut::kNone;
}

}  // namespace nvfp4::plan
