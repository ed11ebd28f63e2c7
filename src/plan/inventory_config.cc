// The layers of a decoder that exists as a configuration only.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "checkpoint/model_config.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/schemes/schemes.h"
#include "plan/inventory.h"

namespace nvfp4::plan {
namespace {

using checkpoint::ConfigDocument;
using checkpoint::DeclaredScheme;
using checkpoint::DeclaredWeights;
using checkpoint::ModuleClass;
using kernels::WeightFormat;

Result<std::uint32_t> uint_or(const ConfigDocument& config, std::string_view key, std::uint32_t fallback) {
  const auto field = checkpoint::find_field(config.root(), config.label(), key);
  if (!field) return fallback;
  auto value = checkpoint::as_uint(*field, 0, 1U << 31U);
  NVFP4_RETURN_IF_ERROR(value);
  return static_cast<std::uint32_t>(*value);
}

class ConfigLayers {
 public:
  ConfigLayers(const ConfigDocument& config, checkpoint::QuantizationMap map, checkpoint::ModelConfig sizes,
               LayerFacts facts)
      : config_(config), map_(std::move(map)), sizes_(std::move(sizes)), facts_(std::move(facts)) {}

  Result<Inventory> read() {
    NVFP4_RETURN_IF_ERROR(read_sizes());
    NVFP4_RETURN_IF_ERROR(add("model.embed_tokens", sizes_.vocab_size, sizes_.hidden_size));
    for (std::uint64_t layer_idx = 0; layer_idx < sizes_.num_layers; ++layer_idx) {
      const std::string prefix = fmt::format("model.layers.{}", layer_idx);
      NVFP4_RETURN_IF_ERROR(add_attention(prefix + ".self_attn"));
      NVFP4_RETURN_IF_ERROR(has_experts(layer_idx) ? add_experts(prefix + ".mlp") : add_mlp(prefix + ".mlp"));
    }
    NVFP4_RETURN_IF_ERROR(facts_.tied_head ? add_tied_head() : add("lm_head", sizes_.vocab_size, sizes_.hidden_size));
    Inventory out;
    out.architecture = sizes_.architecture;
    out.layers = list_.take();
    return out;
  }

 private:
  Status read_sizes() {
    // By architecture, or by model_type where there is none.
    constexpr std::array<std::string_view, 8> kKnown = {
        "Qwen3MoeForCausalLM", "qwen3_moe", "Qwen3ForCausalLM",   "qwen3",
        "LlamaForCausalLM",    "llama",     "MistralForCausalLM", "mistral"};
    if (std::find(kKnown.begin(), kKnown.end(), sizes_.architecture) == kKnown.end()) {
      return Error{
          ErrorCode::kUnsupported, config_.label() + ": architectures",
          fmt::format("\"{}\" cannot be planned from a configuration alone; give a checkpoint", sizes_.architecture)};
    }
    for (const auto& [key, value] : {std::pair<std::string_view, std::uint64_t>{"hidden_size", sizes_.hidden_size},
                                     {"vocab_size", sizes_.vocab_size},
                                     {"num_hidden_layers", sizes_.num_layers},
                                     {"num_attention_heads", sizes_.num_heads}}) {
      if (value == 0) return Error{ErrorCode::kNotFound, fmt::format("{}: {}", config_.label(), key), "is missing"};
    }
    if (sizes_.head_dim == 0) sizes_.head_dim = sizes_.hidden_size / sizes_.num_heads;
    if (sizes_.num_kv_heads == 0) sizes_.num_kv_heads = sizes_.num_heads;
    for (const auto& [key, target] : {std::pair<std::string_view, std::uint32_t*>{"intermediate_size", &intermediate_},
                                      {"num_experts", &num_experts_},
                                      {"num_local_experts", &num_experts_},
                                      {"moe_intermediate_size", &moe_intermediate_},
                                      {"decoder_sparse_step", &sparse_step_}}) {
      auto value = uint_or(config_, key, *target);
      NVFP4_RETURN_IF_ERROR(value);
      *target = *value;
    }
    if (sizes_.architecture != "Qwen3MoeForCausalLM" && sizes_.architecture != "qwen3_moe") num_experts_ = 0;
    if (sparse_step_ == 0) sparse_step_ = 1;
    if (const auto list = checkpoint::find_field(config_.root(), config_.label(), "mlp_only_layers")) {
      auto array = checkpoint::as_array(*list);
      NVFP4_RETURN_IF_ERROR(array);
      for (const auto& element : *array) {
        auto value = checkpoint::as_uint({element, list->where}, 0, 1U << 20U);
        NVFP4_RETURN_IF_ERROR(value);
        mlp_only_.push_back(*value);
      }
    }
    return {};
  }

  [[nodiscard]] bool has_experts(std::uint64_t layer_idx) const {
    const bool mlp_only = std::find(mlp_only_.begin(), mlp_only_.end(), layer_idx) != mlp_only_.end();
    return !mlp_only && num_experts_ > 0 && (layer_idx + 1) % sparse_step_ == 0;
  }

  Status add_attention(const std::string& prefix) {
    const std::uint64_t q_size = sizes_.num_heads * sizes_.head_dim;
    const std::uint64_t kv_size = sizes_.num_kv_heads * sizes_.head_dim;
    NVFP4_RETURN_IF_ERROR(add(prefix + ".q_proj", q_size, sizes_.hidden_size));
    NVFP4_RETURN_IF_ERROR(add(prefix + ".k_proj", kv_size, sizes_.hidden_size));
    NVFP4_RETURN_IF_ERROR(add(prefix + ".v_proj", kv_size, sizes_.hidden_size));
    return add(prefix + ".o_proj", sizes_.hidden_size, q_size);
  }
  // As layers_of() has it of a checkpoint.
  Status add_tied_head() {
    Layer head;
    head.kind = "lm_head";
    head.out_features = sizes_.vocab_size;
    head.in_features = sizes_.hidden_size;
    head.cut = Cut::kRows;
    head.is_tied = true;
    NVFP4_RETURN_IF_ERROR(set_scheme("model.embed_tokens", head));
    list_.add(std::move(head));
    return {};
  }
  Status add_mlp(const std::string& prefix) {
    if (intermediate_ == 0) {
      return Error{ErrorCode::kNotFound, config_.label() + ": intermediate_size", "is missing"};
    }
    NVFP4_RETURN_IF_ERROR(add(prefix + ".gate_proj", intermediate_, sizes_.hidden_size));
    NVFP4_RETURN_IF_ERROR(add(prefix + ".up_proj", intermediate_, sizes_.hidden_size));
    return add(prefix + ".down_proj", sizes_.hidden_size, intermediate_);
  }
  Status add_experts(const std::string& prefix) {
    NVFP4_RETURN_IF_ERROR(add(prefix + ".gate", num_experts_, sizes_.hidden_size));
    if (moe_intermediate_ == 0) {
      return Error{ErrorCode::kNotFound, config_.label() + ": moe_intermediate_size", "is missing"};
    }
    Layer layer;
    layer.operation = Operation::kExperts;
    layer.kind = "mlp.experts";
    layer.num_experts = num_experts_;
    layer.out_features = moe_intermediate_;
    layer.in_features = sizes_.hidden_size;
    NVFP4_RETURN_IF_ERROR(set_scheme(prefix + ".experts.0.gate_proj", layer));
    layer.one_fc1_input_scale = false;  // random ones have scales of their own
    layer.cut = Cut::kRows;
    NVFP4_RETURN_IF_ERROR(set_expert_facts(facts_, true, config_.label(), layer));
    list_.add(std::move(layer));
    return {};
  }

  Status add(const std::string& module, std::uint64_t out_features, std::uint64_t in_features) {
    Layer layer;
    layer.kind = layer_kind(module);
    if (layer.kind == "embed_tokens") layer.operation = Operation::kEmbedding;
    layer.out_features = out_features;
    layer.in_features = in_features;
    NVFP4_RETURN_IF_ERROR(set_scheme(module, layer));
    set_cut(facts_, layer);
    list_.add(std::move(layer));
    return {};
  }

  [[nodiscard]] static bool stays_plain(std::string_view module) {
    return module == "lm_head" || module.ends_with("embed_tokens") || module.ends_with("mlp.gate");
  }
  // As random weights are made: a declaration for all layers means linear ones.
  [[nodiscard]] const DeclaredScheme* declared(const std::string& module) const {
    if (!module.ends_with("embed_tokens")) return map_.resolve(module, ModuleClass::kLinear);
    return map_.targets_before_ignore ? map_.resolve(module, ModuleClass::kEmbedding) : nullptr;
  }

  Status set_scheme(const std::string& module, Layer& layer) const {
    const DeclaredScheme standard{DeclaredWeights::kNvfp4, Activation::kNvfp4Static, 16, ""};
    const DeclaredScheme* scheme = map_.declared ? declared(module) : stays_plain(module) ? nullptr : &standard;
    if (scheme == nullptr) return {};
    layer.activation = scheme->activation;
    layer.has_input_scale =
        scheme->activation == Activation::kNvfp4Static || scheme->activation == Activation::kFp8Static;
    if (scheme->weights == DeclaredWeights::kUnsupported) {
      return Error{ErrorCode::kUnsupported, config_.label(),
                   fmt::format("declares a scheme for \"{}\" that is not supported", module)};
    }
    const bool is_nvfp4 = scheme->weights == DeclaredWeights::kNvfp4;
    layer.weight = is_nvfp4 ? WeightFormat::kNvfp4 : WeightFormat::kFp8;
    if (is_nvfp4) layer.block_size = scheme->block_size == 0 ? 16 : scheme->block_size;
    layer.per_row_scale = scheme->weights == DeclaredWeights::kFp8PerRow;
    if (!is_nvfp4 || layer.in_features % layer.block_size == 0) return {};
    return Error{
        ErrorCode::kContradiction, fmt::format("{}: \"{}\"", config_.label(), module),
        fmt::format("has {} input features, not a multiple of the block size {}", layer.in_features, layer.block_size)};
  }

  const ConfigDocument& config_;
  checkpoint::QuantizationMap map_;
  checkpoint::ModelConfig sizes_;
  LayerFacts facts_;
  LayerList list_;
  std::uint32_t intermediate_ = 0, num_experts_ = 0, moe_intermediate_ = 0, sparse_step_ = 1;
  std::vector<std::uint64_t> mlp_only_;
};

}  // namespace

Result<Inventory> layers_of_config(std::string_view config_json, const std::string& label) {
  auto document = ConfigDocument::parse(config_json, label);
  NVFP4_RETURN_IF_ERROR(document);
  const std::optional<ConfigDocument> config(std::move(document).value());
  auto map = checkpoint::read_quantization_config(std::nullopt, config);
  NVFP4_RETURN_IF_ERROR(map);
  auto sizes = checkpoint::read_model_config(config);
  NVFP4_RETURN_IF_ERROR(sizes);
  auto facts = read_layer_facts(*config);
  NVFP4_RETURN_IF_ERROR(facts);
  return ConfigLayers(*config, std::move(map).value(), std::move(sizes).value(), std::move(facts).value()).read();
}

}  // namespace nvfp4::plan
