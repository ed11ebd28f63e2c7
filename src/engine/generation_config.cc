#include "engine/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "checkpoint/config_document.h"

namespace nvfp4::engine {
namespace {

using checkpoint::ConfigDocument;
using checkpoint::find_field;
using checkpoint::JsonField;
using checkpoint::JsonObject;

Error malformed(const JsonField& field, std::string_view expected) {
  return {ErrorCode::kMalformed, field.where,
          fmt::format("expected {}, found {}", expected, std::string(simdjson::minify(field.element)).substr(0, 40))};
}

Result<float> as_float(const JsonField& field) {
  double value = 0;
  if (field.element.get(value) != simdjson::SUCCESS) return malformed(field, "a number");
  if (!(value >= -std::numeric_limits<float>::max() && value <= std::numeric_limits<float>::max())) {
    return malformed(field, "a number that FP32 holds");
  }
  return static_cast<float>(value);
}

Status read_float(JsonObject object, std::string_view where, std::string_view key, float& out) {
  const auto field = find_field(object, where, key);
  if (!field) return {};
  auto value = as_float(*field);
  if (!value) return std::move(value).error();
  out = *value;
  return {};
}

// Some files write "off" as -1.
Status read_top_k(JsonObject object, std::string_view where, std::uint32_t& out) {
  const auto field = find_field(object, where, "top_k");
  if (!field) return {};
  if (std::int64_t number = 0; field->element.get(number) == simdjson::SUCCESS && number == -1) return {};
  auto value = checkpoint::as_uint(*field, 0, std::numeric_limits<std::uint32_t>::max());
  if (!value) return std::move(value).error();
  out = static_cast<std::uint32_t>(*value);
  return {};
}

Status read_token(const JsonField& field, std::vector<TokenId>& out) {
  auto value = checkpoint::as_uint(field, 0, std::numeric_limits<TokenId>::max());
  if (!value) return std::move(value).error();
  const auto token = static_cast<TokenId>(*value);
  if (std::find(out.begin(), out.end(), token) == out.end()) out.push_back(token);
  return {};
}

Status read_eos_tokens(JsonObject object, std::string_view where, std::vector<TokenId>& out) {
  const auto field = find_field(object, where, "eos_token_id");
  if (!field) return {};
  checkpoint::JsonArray list;
  if (field->element.get(list) != simdjson::SUCCESS) return read_token(*field, out);
  std::size_t i = 0;
  for (const checkpoint::JsonElement element : list) {
    NVFP4_RETURN_IF_ERROR(read_token({element, fmt::format("{}[{}]", field->where, i++)}, out));
  }
  return {};
}

Status read_sampling(JsonObject object, std::string_view where, layers::SamplingParameters& out) {
  bool sampled = false;
  for (const std::string_view key : {"temperature", "top_k", "top_p", "min_p"}) {
    sampled = sampled || find_field(object, where, key).has_value();
  }
  if (const auto field = find_field(object, where, "do_sample")) {
    auto value = checkpoint::as_bool(*field);
    if (!value) return std::move(value).error();
    sampled = *value;
  }
  out.temperature = 1;
  NVFP4_RETURN_IF_ERROR(read_float(object, where, "temperature", out.temperature));
  NVFP4_RETURN_IF_ERROR(read_top_k(object, where, out.top_k));
  NVFP4_RETURN_IF_ERROR(read_float(object, where, "top_p", out.top_p));
  NVFP4_RETURN_IF_ERROR(read_float(object, where, "min_p", out.min_p));
  NVFP4_RETURN_IF_ERROR(read_float(object, where, "repetition_penalty", out.repetition_penalty));
  if (auto status = out.validate(); !status) {
    Error error = std::move(status).error();
    error.code = ErrorCode::kMalformed;
    error.where = fmt::format("{}: {}", where, error.where);
    return error;
  }
  if (!sampled) out.temperature = 0;
  return {};
}

Status read_generation(const ConfigDocument& document, GenerationConfig& out) {
  const JsonObject root = document.root();
  NVFP4_RETURN_IF_ERROR(read_sampling(root, document.label(), out.sampling));
  if (const auto field = find_field(root, document.label(), "max_new_tokens")) {
    auto value = checkpoint::as_uint(*field, 1, std::numeric_limits<std::uint32_t>::max());
    if (!value) return std::move(value).error();
    out.max_new_tokens = static_cast<std::uint32_t>(*value);
  }
  return read_eos_tokens(root, document.label(), out.eos_tokens);
}

Status read_model_eos(const ConfigDocument& document, std::vector<TokenId>& out) {
  NVFP4_RETURN_IF_ERROR(read_eos_tokens(document.root(), document.label(), out));
  if (!out.empty()) return {};
  const auto text = find_field(document.root(), document.label(), "text_config");
  if (!text) return {};
  auto object = checkpoint::as_object(*text);
  if (!object) return std::move(object).error();
  return read_eos_tokens(*object, text->where, out);
}

}  // namespace

Result<GenerationConfig> GenerationConfig::read(const checkpoint::ModelRoot& root) {
  GenerationConfig config;
  auto generation = ConfigDocument::read(root, "generation_config.json");
  if (!generation) return std::move(generation).error();
  if (generation->has_value()) NVFP4_RETURN_IF_ERROR(read_generation(**generation, config));
  if (!config.eos_tokens.empty()) return config;
  auto model = ConfigDocument::read(root, "config.json");
  if (!model) return std::move(model).error();
  if (model->has_value()) NVFP4_RETURN_IF_ERROR(read_model_eos(**model, config.eos_tokens));
  return config;
}

}  // namespace nvfp4::engine
