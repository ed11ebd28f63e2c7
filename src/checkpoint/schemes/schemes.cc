#include "checkpoint/schemes/schemes.h"

#include <fmt/format.h>

#include <utility>

namespace nvfp4::checkpoint {

Result<QuantizationMap> read_quantization_config(const std::optional<ConfigDocument>& hf_quant_config,
                                                 const std::optional<ConfigDocument>& config) {
  std::optional<JsonField> field;
  if (config) field = find_field(config->root(), config->label(), "quantization_config");
  std::string method;
  if (field) {
    auto object = as_object(*field);
    if (!object) return std::move(object).error();
    if (auto name = find_field(*object, field->where, "quant_method")) {
      auto text = as_string(*name);
      if (!text) return std::move(text).error();
      method = *text;
    }
  }
  if (method == "compressed-tensors") {
    auto map = read_compressed_tensors_config(*field);
    if (map && hf_quant_config) {
      map->conflicts.push_back(
          {"hf_quant_config.json", "lies beside a compressed-tensors config.json and is not read; the tensors decide"});
    }
    return map;
  }
  if (method.empty() || method.starts_with("modelopt")) return read_modelopt_config(hf_quant_config, field);
  if (hf_quant_config) {
    auto map = read_modelopt_config(hf_quant_config, std::nullopt);
    if (map) {
      map->conflicts.push_back({std::string(without_directories(field->where)) + ".quant_method",
                                fmt::format("\"{}\" beside hf_quant_config.json; the latter is read", method)});
    }
    return map;
  }
  return Error{
      ErrorCode::kUnsupported, field->where + ".quant_method",
      fmt::format("\"{}\" is not a producer this library reads; it reads modelopt and compressed-tensors", method)};
}

}  // namespace nvfp4::checkpoint
