#include "models/decoder_loader.h"

#include <fmt/format.h>

#include <utility>

namespace nvfp4::models {

std::string DecoderLoader::layer_prefix(std::uint32_t layer_idx) { return fmt::format("model.layers.{}", layer_idx); }

Result<layers::Linear> DecoderLoader::linear(const std::string& module, std::uint64_t out_features,
                                             std::uint64_t in_features, bool has_bias) {
  auto weight = source_.matrix(module, {out_features, in_features}, has_bias);
  NVFP4_RETURN_IF_ERROR(weight);
  return create(std::move(weight).value());
}

Result<layers::Linear> DecoderLoader::create(prepare::PreparedWeight weight) {
  weight.look_at_scales(context_.pool);
  auto kernels = context_.kernels.kernels_of(weight);
  NVFP4_RETURN_IF_ERROR(kernels);
  return layers::Linear::create(std::move(weight), std::move(kernels).value(), context_.pool);
}

Result<layers::Linear> DecoderLoader::experts(const std::string& prefix, const std::string& projection,
                                              const MoeOptions& options, prepare::MatrixShape shape) {
  auto weight = source_.experts(prefix, projection, options.num_experts, shape);
  NVFP4_RETURN_IF_ERROR(weight);
  return create(std::move(weight).value());
}

Result<layers::RmsNorm> DecoderLoader::norm(const std::string& module, std::uint32_t size) {
  auto weight = source_.vector(module + ".weight", size);
  NVFP4_RETURN_IF_ERROR(weight);
  return layers::RmsNorm(std::move(weight).value(), config_.norm_epsilon);
}

Result<layers::Attention> DecoderLoader::attention(std::uint32_t layer_idx, const AttentionOptions& options) {
  const std::string prefix = layer_prefix(layer_idx) + ".self_attn";
  const std::uint64_t q_size = std::uint64_t{config_.num_heads} * config_.head_dim;
  const std::uint64_t kv_size = std::uint64_t{config_.num_kv_heads} * config_.head_dim;
  auto q = linear(prefix + ".q_proj", q_size, config_.hidden_size, options.qkv_bias);
  NVFP4_RETURN_IF_ERROR(q);
  auto k = linear(prefix + ".k_proj", kv_size, config_.hidden_size, options.qkv_bias);
  NVFP4_RETURN_IF_ERROR(k);
  auto v = linear(prefix + ".v_proj", kv_size, config_.hidden_size, options.qkv_bias);
  NVFP4_RETURN_IF_ERROR(v);
  auto o = linear(prefix + ".o_proj", config_.hidden_size, q_size, options.output_bias);
  NVFP4_RETURN_IF_ERROR(o);
  std::optional<layers::RmsNorm> q_norm;
  std::optional<layers::RmsNorm> k_norm;
  if (options.q_k_norm) {
    auto q_weight = norm(prefix + ".q_norm", config_.head_dim);
    NVFP4_RETURN_IF_ERROR(q_weight);
    auto k_weight = norm(prefix + ".k_norm", config_.head_dim);
    NVFP4_RETURN_IF_ERROR(k_weight);
    q_norm = std::move(q_weight).value();
    k_norm = std::move(k_weight).value();
  }
  const layers::AttentionShape shape{config_.num_heads, config_.num_kv_heads, config_.head_dim, options.window};
  return layers::Attention(shape, std::move(q).value(), std::move(k).value(), std::move(v).value(),
                           std::move(o).value(), std::move(q_norm), std::move(k_norm));
}

Result<layers::SwigluMlp> DecoderLoader::mlp(std::uint32_t layer_idx, std::uint32_t intermediate_size) {
  const std::string prefix = layer_prefix(layer_idx) + ".mlp";
  auto gate = linear(prefix + ".gate_proj", intermediate_size, config_.hidden_size, config_.mlp_bias);
  NVFP4_RETURN_IF_ERROR(gate);
  auto up = linear(prefix + ".up_proj", intermediate_size, config_.hidden_size, config_.mlp_bias);
  NVFP4_RETURN_IF_ERROR(up);
  auto down = linear(prefix + ".down_proj", config_.hidden_size, intermediate_size, config_.mlp_bias);
  NVFP4_RETURN_IF_ERROR(down);
  return layers::SwigluMlp(std::move(gate).value(), std::move(up).value(), std::move(down).value());
}

Result<layers::SparseMoe> DecoderLoader::moe(std::uint32_t layer_idx, const MoeOptions& options) {
  const std::string prefix = layer_prefix(layer_idx) + ".mlp";
  const prepare::MatrixShape inward{options.intermediate_size, config_.hidden_size};
  const prepare::MatrixShape outward{config_.hidden_size, options.intermediate_size};
  auto router = linear(prefix + ".gate", options.num_experts, config_.hidden_size);
  NVFP4_RETURN_IF_ERROR(router);
  auto gate = experts(prefix + ".experts", "gate_proj", options, inward);
  NVFP4_RETURN_IF_ERROR(gate);
  auto up = experts(prefix + ".experts", "up_proj", options, inward);
  NVFP4_RETURN_IF_ERROR(up);
  auto down = experts(prefix + ".experts", "down_proj", options, outward);
  NVFP4_RETURN_IF_ERROR(down);
  return layers::SparseMoe(std::move(router).value(), std::move(gate).value(), std::move(up).value(),
                           std::move(down).value(), options.top_k, options.normalize);
}

Result<DecoderParts> DecoderLoader::frame() {
  ModelShape shape;
  shape.architecture = config_.architecture;
  shape.num_layers = config_.num_layers;
  shape.hidden_size = config_.hidden_size;
  shape.vocab_size = config_.vocab_size;
  shape.max_positions = config_.max_positions;
  shape.kv = {config_.num_layers, config_.num_kv_heads, config_.head_dim, {}, {}};
  for (std::uint32_t layer_idx = 0; layer_idx < config_.num_layers; ++layer_idx) {
    auto scales = source_.kv_scales(layer_prefix(layer_idx) + ".self_attn");
    NVFP4_RETURN_IF_ERROR(scales);
    shape.kv.k_scales.push_back(scales->k);
    shape.kv.v_scales.push_back(scales->v);
  }
  auto embedding = linear("model.embed_tokens", config_.vocab_size, config_.hidden_size);
  NVFP4_RETURN_IF_ERROR(embedding);
  auto final_norm = norm("model.norm", config_.hidden_size);
  NVFP4_RETURN_IF_ERROR(final_norm);
  std::optional<layers::Linear> head;
  // A file that says "tied" and holds a head all the same: the tensors decide.
  if (!config_.tie_embeddings || source_.has("lm_head.weight")) {
    auto weight = linear("lm_head", config_.vocab_size, config_.hidden_size);
    NVFP4_RETURN_IF_ERROR(weight);
    head = std::move(weight).value();
  }
  const layers::Rope rope(config_.head_dim, config_.rope_theta, config_.rope_scaling);
  return DecoderParts{std::move(shape),
                      context_.precision,
                      context_.kernels.instruction_set(),
                      {},
                      rope,
                      std::move(embedding).value(),
                      {},
                      std::move(final_norm).value(),
                      std::move(head)};
}

}  // namespace nvfp4::models
