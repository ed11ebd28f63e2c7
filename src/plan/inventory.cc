#include "plan/inventory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace nvfp4::plan {
namespace {

using checkpoint::find_field;
using checkpoint::JsonField;
using checkpoint::JsonObject;
using kernels::ExpertFunction;

// Of the text model, else of the whole.
class FactReader {
 public:
  explicit FactReader(const checkpoint::ConfigDocument& config) : root_(config.root()), label_(config.label()) {
    if (const auto text = find_field(root_, label_, "text_config")) {
      if (const auto object = checkpoint::as_object(*text)) text_ = *object;
    }
  }

  [[nodiscard]] std::optional<JsonField> find(std::string_view key) const {
    if (text_) {
      if (auto field = find_field(*text_, label_ + ": text_config", key)) return field;
    }
    return find_field(root_, label_, key);
  }
  // The first of the keys that is there and holds a positive number; 0: none.
  [[nodiscard]] std::uint32_t number(std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys) {
      const auto field = find(key);
      if (!field) continue;
      if (const auto value = checkpoint::as_uint(*field, 0, 1U << 31U)) return static_cast<std::uint32_t>(*value);
    }
    return 0;
  }
  [[nodiscard]] std::string text(std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys) {
      const auto field = find(key);
      if (!field) continue;
      if (const auto value = checkpoint::as_string(*field)) return *value;
    }
    return {};
  }
  [[nodiscard]] bool flag(std::string_view key) const {
    const auto field = find(key);
    if (!field) return false;
    const auto value = checkpoint::as_bool(*field);
    return value && *value;
  }
  [[nodiscard]] double real(std::string_view key) const {
    const auto field = find(key);
    double value = 0;
    if (field && field->element.get(value) != simdjson::SUCCESS) return 0;
    return value;
  }

 private:
  JsonObject root_;
  std::string label_;
  std::optional<JsonObject> text_;
};

}  // namespace

Result<LayerFacts> read_layer_facts(const checkpoint::ConfigDocument& config) {
  const FactReader reader(config);
  LayerFacts facts;
  facts.top_k = reader.number({"num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k_experts", "moe_k"});
  facts.function = reader.text({"hidden_act", "hidden_activation", "mlp_hidden_act"});
  const std::string type = reader.text({"model_type"});
  if (type == "gpt_oss") facts.function = "swigluoai";
  facts.swiglu_limit = static_cast<float>(reader.real("swiglu_limit"));
  facts.head_dim = reader.number({"head_dim"});
  const std::uint32_t num_heads = reader.number({"num_attention_heads"});
  if (facts.head_dim == 0 && num_heads != 0) facts.head_dim = reader.number({"hidden_size"}) / num_heads;
  facts.gated_attention = reader.flag("attn_output_gate");
  facts.tied_head = reader.flag("tie_word_embeddings");
  facts.router_weight_on_input = type.starts_with("llama4");
  return facts;
}

Status set_expert_facts(const LayerFacts& facts, bool has_gate, const std::string& label, Layer& layer) {
  const auto bad = [&](std::string_view key, std::string message) {
    return Error{ErrorCode::kUnsupported, fmt::format("{}/config.json: {}", label, key), std::move(message)};
  };
  if (facts.top_k == 0) {
    return Error{ErrorCode::kNotFound, fmt::format("{}/config.json: num_experts_per_tok", label),
                 fmt::format("is missing; \"{}\" has experts, of which each token uses so many", layer.kind)};
  }
  layer.top_k = facts.top_k;
  layer.router_weight_on_input = facts.router_weight_on_input;
  layer.swiglu_limit = facts.swiglu_limit;
  const std::string_view name = facts.function;
  constexpr std::array<std::string_view, 4> kTanh = {"gelu_pytorch_tanh", "gelu_tanh", "gelu_new", "gelu_fast"};
  if (!has_gate) {
    layer.function = ExpertFunction::kRelu2;
    return name.empty() || name == "relu2"
               ? Status()
               : bad("hidden_act", fmt::format("\"{}\" without a gate cannot be planned; relu2 can", name));
  }
  if (name.empty() || name == "silu" || name == "swish") {
    layer.function = facts.swiglu_limit > 0 ? ExpertFunction::kSwigluOai : ExpertFunction::kSilu;
    return {};
  }
  if (name == "swigluoai") {
    layer.function = ExpertFunction::kSwigluOai;
    return {};
  }
  if (std::find(kTanh.begin(), kTanh.end(), name) == kTanh.end()) {
    return bad("hidden_act", fmt::format("\"{}\" of experts cannot be planned; silu and gelu's tanh form can", name));
  }
  layer.function = ExpertFunction::kGeluTanh;
  return {};
}

void set_cut(const LayerFacts& facts, Layer& layer) {
  layer.cut = cut_of(layer);
  const std::string_view kind = layer.kind;
  const bool is_query = kind.ends_with(".q_proj");
  if (facts.head_dim == 0 || !(is_query || kind.ends_with(".k_proj") || kind.ends_with(".v_proj"))) return;
  const std::uint32_t unit = facts.head_dim * (is_query && facts.gated_attention ? 2 : 1);
  if (layer.out_features % unit == 0) layer.row_unit = unit;
}

Result<Inventory> parse_layers(std::string_view text, const std::string& label) {
  Inventory inventory;
  inventory.architecture = label;
  for (std::size_t line_idx = 1; !text.empty(); ++line_idx) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos || line.front() == '#') continue;
    auto layer = parse_layer(line, fmt::format("{}:{}", label, line_idx));
    NVFP4_RETURN_IF_ERROR(layer);
    inventory.layers.push_back(std::move(layer).value());
  }
  if (!inventory.layers.empty()) return inventory;
  return Error{ErrorCode::kMalformed, label, "has no layers; a line is COUNT KIND PROBLEM"};
}

void LayerList::add(Layer layer) {
  std::string text = fmt::format("{} {} {} {} {}", layer.kind, problem_text(layer), layer.has_input_scale,
                                 layer.is_transposed, static_cast<int>(layer.input_rule));
  const auto found = std::find(texts_.begin(), texts_.end(), text);
  if (found != texts_.end()) {
    layers_[static_cast<std::size_t>(found - texts_.begin())].num_layers += layer.num_layers;
    return;
  }
  texts_.push_back(std::move(text));
  layers_.push_back(std::move(layer));
}

std::vector<Layer> LayerList::take() const {
  const auto place = [](const Layer& layer) {
    return layer.operation == Operation::kEmbedding ? 0 : layer.kind.starts_with("lm_head") ? 2 : 1;
  };
  std::vector<Layer> sorted;
  for (const int wanted : {0, 1, 2}) {
    for (const Layer& layer : layers_) {
      if (place(layer) == wanted) sorted.push_back(layer);
    }
  }
  return sorted;
}

}  // namespace nvfp4::plan
