// Qwen3-MoE: grouped-query attention with per-head q and k norms; experts in most layers, SwiGLU in the others.
//
//   layer i has experts iff i is not in mlp_only_layers, num_experts > 0 and (i + 1) % decoder_sparse_step == 0
#include <algorithm>
#include <vector>

#include "models/architectures.h"
#include "models/decoder_loader.h"
#include "models/sliding_window.h"

namespace nvfp4::models {
namespace {

struct Qwen3MoeConfig {
  DecoderConfig decoder;
  DecoderLoader::MoeOptions moe;
  std::uint32_t sparse_step = 1;
  std::vector<std::uint32_t> mlp_only_layers;

  [[nodiscard]] bool has_experts(std::uint32_t layer_idx) const {
    const bool mlp_only = std::find(mlp_only_layers.begin(), mlp_only_layers.end(), layer_idx) != mlp_only_layers.end();
    return !mlp_only && moe.num_experts > 0 && (layer_idx + 1) % sparse_step == 0;
  }
};

// "num_experts", or "num_local_experts" as newer files spell it.
Result<std::uint32_t> read_num_experts(const ConfigReader& reader) {
  auto count = reader.uint_or("num_local_experts", 0);
  NVFP4_RETURN_IF_ERROR(count);
  return *count > 0 ? count : reader.required_uint("num_experts");
}

Result<Qwen3MoeConfig> read_config(const ConfigReader& reader) {
  Qwen3MoeConfig config;
  auto decoder = read_decoder_config(reader);
  NVFP4_RETURN_IF_ERROR(decoder);
  config.decoder = std::move(decoder).value();
  auto num_experts = read_num_experts(reader);
  NVFP4_RETURN_IF_ERROR(num_experts);
  auto top_k = reader.required_uint("num_experts_per_tok");
  NVFP4_RETURN_IF_ERROR(top_k);
  auto intermediate_size = reader.required_uint("moe_intermediate_size");
  NVFP4_RETURN_IF_ERROR(intermediate_size);
  auto normalize = reader.bool_or("norm_topk_prob", false);
  NVFP4_RETURN_IF_ERROR(normalize);
  auto step = reader.uint_or("decoder_sparse_step", 1);
  NVFP4_RETURN_IF_ERROR(step);
  auto mlp_only = reader.uint_list("mlp_only_layers");
  NVFP4_RETURN_IF_ERROR(mlp_only);
  if (*top_k == 0 || *top_k > *num_experts) {
    return reader.error("num_experts_per_tok", ErrorCode::kContradiction, "must be between 1 and num_experts");
  }
  if (*intermediate_size == 0) {
    return reader.error("moe_intermediate_size", ErrorCode::kMalformed, "must be above zero");
  }
  if (*step == 0) return reader.error("decoder_sparse_step", ErrorCode::kMalformed, "must be above zero");
  config.moe = {*num_experts, *top_k, *intermediate_size, *normalize};
  config.sparse_step = *step;
  config.mlp_only_layers = std::move(mlp_only).value();
  return config;
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> load_qwen3_moe(const ConfigReader& reader, const LoadContext& context) {
  auto config = read_config(reader);
  NVFP4_RETURN_IF_ERROR(config);
  config->decoder.architecture = "Qwen3MoeForCausalLM";
  auto window = read_optional_window(reader, config->decoder);
  NVFP4_RETURN_IF_ERROR(window);
  DecoderLoader loader(config->decoder, context);
  const auto attention = [&](std::uint32_t layer_idx) {
    const bool bias = config->decoder.attention_bias;
    return loader.attention(layer_idx, {true, bias, bias, window->of_layer(layer_idx)});
  };
  const auto feed_forward = [&](std::uint32_t layer_idx) -> Result<std::variant<layers::SwigluMlp, layers::SparseMoe>> {
    if (config->has_experts(layer_idx)) {
      auto moe = loader.moe(layer_idx, config->moe);
      NVFP4_RETURN_IF_ERROR(moe);
      return std::variant<layers::SwigluMlp, layers::SparseMoe>(std::move(moe).value());
    }
    NVFP4_RETURN_IF_ERROR(require_intermediate_size(reader, config->decoder));
    auto mlp = loader.mlp(layer_idx, config->decoder.intermediate_size);
    NVFP4_RETURN_IF_ERROR(mlp);
    return std::variant<layers::SwigluMlp, layers::SparseMoe>(std::move(mlp).value());
  };
  return loader.load(attention, feed_forward);
}

}  // namespace nvfp4::models
