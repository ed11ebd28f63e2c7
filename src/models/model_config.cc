#include "models/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace nvfp4::models {
namespace {

using checkpoint::find_field;
using checkpoint::JsonField;
using checkpoint::JsonObject;

constexpr std::uint64_t kMaxUint = 1ULL << 31U;

Result<double> as_number(const JsonField& field) {
  double value = 0;
  if (field.element.get(value) == simdjson::SUCCESS && std::isfinite(value)) return value;
  std::int64_t integer = 0;
  if (field.element.get(integer) == simdjson::SUCCESS) return static_cast<double>(integer);
  return Error{ErrorCode::kMalformed, field.where, "must be a finite number"};
}

Result<double> number_in(JsonObject object, std::string_view where, std::string_view key, double fallback) {
  const auto field = find_field(object, where, key);
  return field ? as_number(*field) : Result<double>(fallback);
}

// rope_parameters (transformers 5) or rope_scaling (4): the type and its numbers.
Status read_rope_scaling(const JsonField& field, DecoderConfig& config) {
  auto object = as_object(field);
  NVFP4_RETURN_IF_ERROR(object);
  auto type = find_field(*object, field.where, "rope_type");
  if (!type) type = find_field(*object, field.where, "type");
  std::string kind = "default";
  if (type) {
    auto text = as_string(*type);
    NVFP4_RETURN_IF_ERROR(text);
    kind = *text;
  }
  auto theta = number_in(*object, field.where, "rope_theta", config.rope_theta);
  NVFP4_RETURN_IF_ERROR(theta);
  config.rope_theta = *theta;
  layers::RopeScaling& scaling = config.rope_scaling;
  if (kind == "default") return {};
  const auto read = [&](std::string_view key, double& target) -> Status {
    const auto number = find_field(*object, field.where, key);
    if (!number) {
      return Error{ErrorCode::kNotFound, field.where, fmt::format("rope type \"{}\" needs the key \"{}\"", kind, key)};
    }
    auto value = as_number(*number);
    NVFP4_RETURN_IF_ERROR(value);
    if (*value <= 0) return Error{ErrorCode::kMalformed, number->where, "must be above zero"};
    target = *value;
    return {};
  };
  if (kind != "linear" && kind != "llama3") {
    return Error{ErrorCode::kUnsupported, type->where,
                 fmt::format("rope type \"{}\" cannot be run; default, linear and llama3 can", kind)};
  }
  NVFP4_RETURN_IF_ERROR(read("factor", scaling.factor));
  scaling.kind = layers::RopeScaling::Kind::kLinear;
  if (kind == "linear") return {};
  scaling.kind = layers::RopeScaling::Kind::kLlama3;
  NVFP4_RETURN_IF_ERROR(read("low_freq_factor", scaling.low_frequency_factor));
  NVFP4_RETURN_IF_ERROR(read("high_freq_factor", scaling.high_frequency_factor));
  NVFP4_RETURN_IF_ERROR(read("original_max_position_embeddings", scaling.original_max_positions));
  if (scaling.high_frequency_factor > scaling.low_frequency_factor) return {};
  return Error{ErrorCode::kContradiction, field.where, "high_freq_factor must be above low_freq_factor"};
}

Status read_rope(const ConfigReader& reader, DecoderConfig& config) {
  const JsonObject root = reader.document().root();
  auto theta = reader.number_or("rope_theta", config.rope_theta);
  NVFP4_RETURN_IF_ERROR(theta);
  config.rope_theta = *theta;
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    if (const auto field = find_field(root, reader.document().label(), key)) {
      NVFP4_RETURN_IF_ERROR(read_rope_scaling(*field, config));
      break;
    }
  }
  if (config.rope_theta > 0) return {};
  return reader.error("rope_theta", ErrorCode::kMalformed, "must be above zero");
}

// Sizes that every decoder needs.
Status read_sizes(const ConfigReader& reader, DecoderConfig& config) {
  const auto required = [&](std::string_view key, std::uint32_t& target) -> Status {
    auto value = reader.required_uint(key);
    NVFP4_RETURN_IF_ERROR(value);
    if (*value == 0) return reader.error(key, ErrorCode::kMalformed, "must be above zero");
    target = *value;
    return {};
  };
  NVFP4_RETURN_IF_ERROR(required("hidden_size", config.hidden_size));
  NVFP4_RETURN_IF_ERROR(required("num_hidden_layers", config.num_layers));
  NVFP4_RETURN_IF_ERROR(required("num_attention_heads", config.num_heads));
  NVFP4_RETURN_IF_ERROR(required("vocab_size", config.vocab_size));
  NVFP4_RETURN_IF_ERROR(required("max_position_embeddings", config.max_positions));
  const auto optional = [&](std::string_view key, std::uint32_t fallback, std::uint32_t& target) -> Status {
    auto value = reader.uint_or(key, fallback);
    NVFP4_RETURN_IF_ERROR(value);
    target = *value;
    return {};
  };
  NVFP4_RETURN_IF_ERROR(optional("intermediate_size", 0, config.intermediate_size));
  NVFP4_RETURN_IF_ERROR(optional("num_key_value_heads", config.num_heads, config.num_kv_heads));
  NVFP4_RETURN_IF_ERROR(optional("head_dim", config.hidden_size / config.num_heads, config.head_dim));
  NVFP4_RETURN_IF_ERROR(optional("sliding_window", 0, config.sliding_window));
  if (config.num_kv_heads == 0 || config.num_heads % config.num_kv_heads != 0) {
    return reader.error(
        "num_key_value_heads", ErrorCode::kContradiction,
        fmt::format("{} does not divide num_attention_heads = {}", config.num_kv_heads, config.num_heads));
  }
  if (config.head_dim == 0 || config.head_dim % 2 != 0) {
    return reader.error("head_dim", ErrorCode::kUnsupported,
                        fmt::format("{} is not a positive even number", config.head_dim));
  }
  return {};
}

Status read_layer_types(const ConfigReader& reader, DecoderConfig& config) {
  const auto field = find_field(reader.document().root(), reader.document().label(), "layer_types");
  if (!field) return {};
  auto array = as_array(*field);
  NVFP4_RETURN_IF_ERROR(array);
  for (const auto& element : *array) {
    auto type = checkpoint::as_string({element, field->where});
    NVFP4_RETURN_IF_ERROR(type);
    if (*type != "full_attention" && *type != "sliding_attention") {
      return Error{ErrorCode::kUnsupported, field->where, fmt::format("layers of type \"{}\" cannot be run", *type)};
    }
    config.layer_types.push_back(*type);
  }
  if (config.layer_types.size() == config.num_layers) return {};
  return Error{
      ErrorCode::kContradiction, field->where,
      fmt::format("lists {} layers, but num_hidden_layers is {}", config.layer_types.size(), config.num_layers)};
}

Status check_activation(const ConfigReader& reader) {
  auto activation = reader.string_or("hidden_act", "silu");
  NVFP4_RETURN_IF_ERROR(activation);
  if (*activation == "silu" || *activation == "swish") return {};
  return reader.error("hidden_act", ErrorCode::kUnsupported,
                      fmt::format("\"{}\" cannot be run; silu can", *activation));
}

}  // namespace

Error ConfigReader::error(std::string_view key, ErrorCode code, std::string message) const {
  return {code, fmt::format("{}: {}", document_.label(), key), std::move(message)};
}

Result<std::uint32_t> ConfigReader::required_uint(std::string_view key) const {
  const auto field = find_field(document_.root(), document_.label(), key);
  if (!field) return error(key, ErrorCode::kNotFound, "is missing and this architecture needs it");
  auto value = as_uint(*field, 0, kMaxUint);
  NVFP4_RETURN_IF_ERROR(value);
  return static_cast<std::uint32_t>(*value);
}

Result<std::uint32_t> ConfigReader::uint_or(std::string_view key, std::uint32_t fallback) const {
  return find_field(document_.root(), document_.label(), key) ? required_uint(key) : Result<std::uint32_t>(fallback);
}

Result<bool> ConfigReader::bool_or(std::string_view key, bool fallback) const {
  const auto field = find_field(document_.root(), document_.label(), key);
  return field ? as_bool(*field) : Result<bool>(fallback);
}

Result<double> ConfigReader::number_or(std::string_view key, double fallback) const {
  return number_in(document_.root(), document_.label(), key, fallback);
}

Result<std::string> ConfigReader::string_or(std::string_view key, std::string_view fallback) const {
  const auto field = find_field(document_.root(), document_.label(), key);
  return field ? as_string(*field) : Result<std::string>(std::string(fallback));
}

Result<std::vector<std::uint32_t>> ConfigReader::uint_list(std::string_view key) const {
  std::vector<std::uint32_t> values;
  const auto field = find_field(document_.root(), document_.label(), key);
  if (!field) return values;
  auto array = as_array(*field);
  NVFP4_RETURN_IF_ERROR(array);
  for (const auto& element : *array) {
    auto value = checkpoint::as_uint({element, field->where}, 0, kMaxUint);
    NVFP4_RETURN_IF_ERROR(value);
    values.push_back(static_cast<std::uint32_t>(*value));
  }
  return values;
}

Status require_intermediate_size(const ConfigReader& reader, const DecoderConfig& config) {
  if (config.intermediate_size > 0) return {};
  return reader.error("intermediate_size", ErrorCode::kNotFound, "must be there and above zero: layers are that wide");
}

Result<DecoderConfig> read_decoder_config(const ConfigReader& reader) {
  DecoderConfig config;
  NVFP4_RETURN_IF_ERROR(read_sizes(reader, config));
  NVFP4_RETURN_IF_ERROR(read_rope(reader, config));
  NVFP4_RETURN_IF_ERROR(read_layer_types(reader, config));
  NVFP4_RETURN_IF_ERROR(check_activation(reader));
  auto epsilon = reader.number_or("rms_norm_eps", 1e-6);
  NVFP4_RETURN_IF_ERROR(epsilon);
  if (*epsilon <= 0) return reader.error("rms_norm_eps", ErrorCode::kMalformed, "must be above zero");
  config.norm_epsilon = static_cast<float>(*epsilon);
  const auto flag = [&](std::string_view key, bool& target) -> Status {
    auto value = reader.bool_or(key, false);
    NVFP4_RETURN_IF_ERROR(value);
    target = *value;
    return {};
  };
  NVFP4_RETURN_IF_ERROR(flag("tie_word_embeddings", config.tie_embeddings));
  NVFP4_RETURN_IF_ERROR(flag("attention_bias", config.attention_bias));
  NVFP4_RETURN_IF_ERROR(flag("mlp_bias", config.mlp_bias));
  return config;
}

}  // namespace nvfp4::models
