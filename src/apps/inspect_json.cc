#include <map>
#include <nlohmann/json.hpp>

#include "apps/inspect_report.h"

namespace nvfp4::apps {
namespace {

Json numbers(std::span<const float> values) {
  Json list = Json::array();
  for (float value : values) list.push_back(static_cast<double>(value));
  return list;
}

Json sizes(std::span<const std::uint64_t> values) { return std::vector<std::uint64_t>(values.begin(), values.end()); }

Json findings(std::span<const Finding> list) {
  Json out = Json::array();
  for (const Finding& finding : list) out.push_back({{"name", finding.name}, {"message", finding.message}});
  return out;
}

Json input_scale(const DescribedTensor& weight) {
  if (weight.input_scale.empty()) return nullptr;
  if (weight.input_scale.size() == 1) return static_cast<double>(weight.input_scale[0]);
  return numbers(weight.input_scale);
}

Json stored(const Checkpoint& checkpoint, const StoredTensor* tensor) {
  if (tensor == nullptr) return nullptr;
  return {{"name", std::string(tensor->name)},
          {"file", checkpoint.files()[tensor->file_idx].path.filename().string()},
          {"dtype", std::string(dtype_name(tensor->dtype))},
          {"shape", sizes(tensor->shape)},
          {"begin", tensor->begin},
          {"end", tensor->end}};
}

Json summary(const DescribedTensor& weight) {
  Json out{{"name", std::string(weight.name)},
           {"shape", sizes(weight.shape)},
           {"scheme", std::string(scheme_name(weight))},
           {"num_shards", weight.num_shards()}};
  out["scale2"] = weight.scale2.empty() ? Json(nullptr) : numbers(weight.scale2);
  out["input_scale"] = input_scale(weight);
  if (weight.is_quantized()) out["activation"] = std::string(activation_name(weight.activation));
  out["bytes"] = stored_bytes(weight);
  return out;
}

}  // namespace

std::uint64_t stored_bytes(const DescribedTensor& weight) {
  std::uint64_t bytes = 0;
  for (const StoredTensor* tensor : {weight.data, weight.block_scales, weight.row_scales, weight.scale2_tensor,
                                     weight.input_scale_tensor, weight.pre_quant_scale}) {
    if (tensor != nullptr) bytes += tensor->num_bytes();
  }
  return bytes;
}

Json weight_json(const Checkpoint& checkpoint, const DescribedTensor& weight) {
  Json out = summary(weight);
  out["block_size"] = weight.block_size;
  out["transposed"] = weight.transposed;
  out["shard_rows"] = sizes(weight.shard_rows);
  out["activation_evidence"] = std::string(weight.activation_evidence);
  out["scale_convention"] = weight.convention == ScaleConvention::kMultiplier ? "multiplier" : "divisor";
  out["stored_scale2"] = numbers(weight.stored_scale2);
  out["stored"] = {{"data", stored(checkpoint, weight.data)},
                   {"block_scales", stored(checkpoint, weight.block_scales)},
                   {"row_scales", stored(checkpoint, weight.row_scales)},
                   {"scale2", stored(checkpoint, weight.scale2_tensor)},
                   {"input_scale", stored(checkpoint, weight.input_scale_tensor)},
                   {"pre_quant_scale", stored(checkpoint, weight.pre_quant_scale)}};
  return out;
}

Json inspect_json(const Checkpoint& checkpoint, const std::filesystem::path& directory) {
  std::uint64_t num_bytes = 0;
  for (const SourceFile& file : checkpoint.files()) num_bytes += file.num_bytes;
  std::uint64_t num_parameters = 0;
  Json schemes = Json::object();
  Json weights = Json::array();
  for (const DescribedTensor& weight : checkpoint.weights()) {
    Json& scheme = schemes[std::string(scheme_name(weight))];
    if (scheme.is_null()) scheme = {{"weights", 0}, {"parameters", 0}, {"bytes", 0}};
    scheme["weights"] = scheme["weights"].get<std::uint64_t>() + 1;
    scheme["parameters"] = scheme["parameters"].get<std::uint64_t>() + weight.num_elements();
    scheme["bytes"] = scheme["bytes"].get<std::uint64_t>() + stored_bytes(weight);
    num_parameters += weight.num_elements();
    weights.push_back(summary(weight));
  }
  Json out{{"directory", directory.string()},
           {"producer", checkpoint.producer()},
           {"architecture", checkpoint.architecture()},
           {"num_files", checkpoint.files().size()},
           {"num_bytes", num_bytes},
           {"num_parameters", num_parameters}};
  out["kv_cache"] = {
      {"scheme", checkpoint.kv_cache_scheme().empty() ? Json(nullptr) : Json(checkpoint.kv_cache_scheme())},
      {"scales", Json::object()}};
  for (const KvScale& scale : checkpoint.kv_scales())
    out["kv_cache"]["scales"][std::string(scale.name)] = static_cast<double>(scale.scale);
  out["schemes"] = std::move(schemes);
  out["weights"] = std::move(weights);
  out["conflicts"] = findings(checkpoint.conflicts());
  out["repairs"] = findings(checkpoint.repairs());
  out["ignored"] = findings(checkpoint.ignored());
  return out;
}

}  // namespace nvfp4::apps
