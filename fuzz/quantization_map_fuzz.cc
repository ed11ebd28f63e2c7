// Both quantisation schemas: the text before a NUL byte is config.json, the text after it hf_quant_config.json. What
// parses is asked for the scheme of modules of every kind.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "checkpoint/config_document.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/schemes/schemes.h"

namespace {

using nvfp4::checkpoint::ConfigDocument;

std::optional<ConfigDocument> parse(std::string_view text, const char* label) {
  auto document = ConfigDocument::parse(text, label);
  if (!document) return std::nullopt;
  return std::move(document).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nvfp4::checkpoint::ModuleClass;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = text.find('\0');
  const auto config = parse(text.substr(0, nul), "config.json");
  const auto hf_quant_config =
      nul == std::string_view::npos ? std::nullopt : parse(text.substr(nul + 1), "hf_quant_config.json");
  auto map = nvfp4::checkpoint::read_quantization_config(hf_quant_config, config);
  if (!map) return 0;
  for (std::string_view module :
       {"lm_head", "model.embed_tokens", "model.layers.3.self_attn.q_proj",
        "model.language_model.layers.0.mlp.experts.17.up_proj", "backbone.layers.1.mixer.in_proj", "model.", ""}) {
    (void)map->resolve(module, ModuleClass::kLinear);
    (void)map->resolve(module, ModuleClass::kEmbedding);
  }
  return 0;
}
