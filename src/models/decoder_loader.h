// Loads the parts of a decoder under the names that transformers gives them, weight by weight.
#pragma once

#include <cstdint>
#include <string>

#include "models/architectures.h"
#include "models/decoder.h"
#include "models/model_config.h"
#include "prepare/weight_source.h"

namespace nvfp4::models {

struct AttentionOptions {
  bool q_k_norm = false;
  bool qkv_bias = false;
  bool output_bias = false;
  std::uint32_t window = 0;  // 0: none
};

class DecoderLoader {
 public:
  DecoderLoader(const DecoderConfig& config, const LoadContext& context)
      : config_(config), context_(context), source_(context.source) {}

  [[nodiscard]] Result<layers::Attention> attention(std::uint32_t layer_idx, const AttentionOptions& options);
  [[nodiscard]] Result<layers::SwigluMlp> mlp(std::uint32_t layer_idx, std::uint32_t intermediate_size);

  struct MoeOptions {
    std::uint32_t num_experts = 0;
    std::uint32_t top_k = 0;
    std::uint32_t intermediate_size = 0;
    bool normalize = true;
  };
  [[nodiscard]] Result<layers::SparseMoe> moe(std::uint32_t layer_idx, const MoeOptions& options);

  // A whole decoder: attention and feed-forward of each layer as the two functions answer.
  template <class Attention, class FeedForward>
  [[nodiscard]] Result<std::unique_ptr<LanguageModel>> load(Attention make_attention, FeedForward make_feed_forward);

 private:
  [[nodiscard]] static std::string layer_prefix(std::uint32_t layer_idx);
  [[nodiscard]] Result<layers::Linear> linear(const std::string& module, std::uint64_t out_features,
                                              std::uint64_t in_features, bool has_bias = false);
  [[nodiscard]] Result<layers::Linear> experts(const std::string& prefix, const std::string& projection,
                                               const MoeOptions& options, prepare::MatrixShape shape);
  [[nodiscard]] Result<layers::Linear> create(prepare::PreparedWeight weight);
  [[nodiscard]] Result<layers::RmsNorm> norm(const std::string& module, std::uint32_t size);
  // Embedding, final norm, head and the shape.
  [[nodiscard]] Result<DecoderParts> frame();

  const DecoderConfig& config_;
  const LoadContext& context_;
  prepare::WeightSource& source_;
};

template <class Attention, class FeedForward>
Result<std::unique_ptr<LanguageModel>> DecoderLoader::load(Attention make_attention, FeedForward make_feed_forward) {
  auto parts = frame();
  NVFP4_RETURN_IF_ERROR(parts);
  for (std::uint32_t layer_idx = 0; layer_idx < config_.num_layers; ++layer_idx) {
    auto input_norm = norm(layer_prefix(layer_idx) + ".input_layernorm", config_.hidden_size);
    NVFP4_RETURN_IF_ERROR(input_norm);
    Result<layers::Attention> attention = make_attention(layer_idx);
    NVFP4_RETURN_IF_ERROR(attention);
    auto post_norm = norm(layer_prefix(layer_idx) + ".post_attention_layernorm", config_.hidden_size);
    NVFP4_RETURN_IF_ERROR(post_norm);
    Result<std::variant<layers::SwigluMlp, layers::SparseMoe>> feed_forward = make_feed_forward(layer_idx);
    NVFP4_RETURN_IF_ERROR(feed_forward);
    parts->layers.push_back({std::move(input_norm).value(), std::move(attention).value(), std::move(post_norm).value(),
                             std::move(feed_forward).value()});
  }
  NVFP4_RETURN_IF_ERROR(source_.finish());
  parts->plan = context_.kernels.take();
  return std::unique_ptr<LanguageModel>(std::make_unique<Decoder>(std::move(parts).value()));
}

}  // namespace nvfp4::models
