// Qwen3 dense: Qwen3-MoE with SwiGLU in every layer.
#include "models/architectures.h"
#include "models/decoder_loader.h"
#include "models/sliding_window.h"

namespace nvfp4::models {

Result<std::unique_ptr<LanguageModel>> load_qwen3(const ConfigReader& reader, const LoadContext& context) {
  auto config = read_decoder_config(reader);
  NVFP4_RETURN_IF_ERROR(config);
  NVFP4_RETURN_IF_ERROR(require_intermediate_size(reader, *config));
  config->architecture = "Qwen3ForCausalLM";
  auto window = read_optional_window(reader, *config);
  NVFP4_RETURN_IF_ERROR(window);
  DecoderLoader loader(*config, context);
  const auto attention = [&](std::uint32_t layer_idx) {
    return loader.attention(layer_idx,
                            {true, config->attention_bias, config->attention_bias, window->of_layer(layer_idx)});
  };
  const auto feed_forward = [&](std::uint32_t layer_idx) -> Result<std::variant<layers::SwigluMlp, layers::SparseMoe>> {
    auto mlp = loader.mlp(layer_idx, config->intermediate_size);
    NVFP4_RETURN_IF_ERROR(mlp);
    return std::variant<layers::SwigluMlp, layers::SparseMoe>(std::move(mlp).value());
  };
  return loader.load(attention, feed_forward);
}

}  // namespace nvfp4::models
