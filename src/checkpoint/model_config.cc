#include "checkpoint/model_config.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace nvfp4::checkpoint {
namespace {

struct SizeField {
  std::string_view key;
  std::uint64_t min;
  std::uint64_t max;
  std::uint64_t ModelConfig::* target;  // null: only checked
};

// Upper bounds are far above any model and far below what overflows.
constexpr std::array kSizes{
    SizeField{"hidden_size", 1, 1 << 20, &ModelConfig::hidden_size},
    SizeField{"vocab_size", 1, 1 << 24, &ModelConfig::vocab_size},
    SizeField{"num_hidden_layers", 0, 1 << 16, &ModelConfig::num_layers},
    SizeField{"num_attention_heads", 1, 1 << 16, &ModelConfig::num_heads},
    SizeField{"num_key_value_heads", 1, 1 << 16, &ModelConfig::num_kv_heads},
    SizeField{"head_dim", 1, 1 << 16, &ModelConfig::head_dim},
    SizeField{"num_nextn_predict_layers", 0, 1 << 10, &ModelConfig::num_nextn_layers},
    SizeField{"intermediate_size", 0, 1 << 24, nullptr},
    SizeField{"moe_intermediate_size", 0, 1 << 24, nullptr},
    SizeField{"num_experts", 0, 1 << 16, nullptr},
    SizeField{"num_local_experts", 0, 1 << 16, nullptr},
    SizeField{"n_routed_experts", 0, 1 << 16, nullptr},
    SizeField{"num_experts_per_tok", 0, 1 << 16, nullptr},
    SizeField{"max_position_embeddings", 1, 1ULL << 32, nullptr},
};

Status read_sizes(JsonObject object, const std::string& where, ModelConfig& config) {
  std::uint64_t num_experts = 0;
  for (const SizeField& size : kSizes) {
    const auto field = find_field(object, where, size.key);
    if (!field || field->element.is_array()) continue;  // some families give one size per layer
    auto value = as_uint(*field, size.min, size.max);
    if (!value) return std::move(value).error();
    if (size.target != nullptr) config.*size.target = *value;
    if (size.key.ends_with("experts")) num_experts = *value;
    if (size.key == "num_experts_per_tok" && num_experts > 0 && *value > num_experts) {
      return Error{ErrorCode::kContradiction, field->where,
                   fmt::format("{} experts per token, but there are only {}", *value, num_experts)};
    }
  }
  if (config.num_heads > 0 && config.num_kv_heads > 0 && config.num_heads % config.num_kv_heads != 0) {
    return Error{ErrorCode::kContradiction, where,
                 fmt::format("num_attention_heads = {} is not a multiple of num_key_value_heads = {}", config.num_heads,
                             config.num_kv_heads)};
  }
  if (config.head_dim == 0 && config.num_heads > 0 && config.hidden_size > 0) {
    if (config.hidden_size % config.num_heads != 0) {
      return Error{
          ErrorCode::kContradiction, where,
          fmt::format("hidden_size = {} is not a multiple of num_attention_heads = {} and head_dim is not given",
                      config.hidden_size, config.num_heads)};
    }
    config.head_dim = config.hidden_size / config.num_heads;
  }
  return {};
}

}  // namespace

Result<ModelConfig> read_model_config(const std::optional<ConfigDocument>& config) {
  ModelConfig model;
  model.architecture = "unknown";
  if (!config) return model;
  const JsonObject root = config->root();
  if (auto field = find_field(root, config->label(), "model_type")) {
    auto type = as_string(*field);
    if (!type) return std::move(type).error();
    model.architecture = *type;
  }
  if (auto field = find_field(root, config->label(), "architectures")) {
    auto list = as_array(*field);
    if (!list) return std::move(list).error();
    if (list->size() > 0) {
      auto first = as_string({list->at(0).value(), field->where + "[0]"});
      if (!first) return std::move(first).error();
      model.architecture = *first;
    }
  }
  if (auto text = find_field(root, config->label(), "text_config")) {
    auto object = as_object(*text);
    if (!object) return std::move(object).error();
    NVFP4_RETURN_IF_ERROR(read_sizes(*object, text->where, model));
  } else {
    NVFP4_RETURN_IF_ERROR(read_sizes(root, config->label(), model));
  }
  return model;
}

}  // namespace nvfp4::checkpoint
