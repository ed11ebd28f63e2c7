// Llama 3: no q and k norms, llama3 rope scaling, biases where the configuration says so.
#include "models/architectures.h"
#include "models/decoder_loader.h"

namespace nvfp4::models {

Result<std::unique_ptr<LanguageModel>> load_llama(const ConfigReader& reader, const LoadContext& context) {
  auto config = read_decoder_config(reader);
  NVFP4_RETURN_IF_ERROR(config);
  NVFP4_RETURN_IF_ERROR(require_intermediate_size(reader, *config));
  config->architecture = "LlamaForCausalLM";
  DecoderLoader loader(*config, context);
  const auto attention = [&](std::uint32_t layer_idx) {
    return loader.attention(layer_idx, {false, config->attention_bias, config->attention_bias, 0});
  };
  const auto feed_forward = [&](std::uint32_t layer_idx) -> Result<std::variant<layers::SwigluMlp, layers::SparseMoe>> {
    auto mlp = loader.mlp(layer_idx, config->intermediate_size);
    NVFP4_RETURN_IF_ERROR(mlp);
    return std::variant<layers::SwigluMlp, layers::SparseMoe>(std::move(mlp).value());
  };
  return loader.load(attention, feed_forward);
}

}  // namespace nvfp4::models
