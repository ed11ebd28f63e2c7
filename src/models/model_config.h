// Typed reading of a model's config.json, in the spelling of transformers 4 (rope_theta, rope_scaling, torch_dtype) or
// 5 (rope_parameters, dtype). Every Error names the file and the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config_document.h"
#include "layers/rope.h"
#include "nvfp4/result.h"

namespace nvfp4::models {

// What all decoder models say.
struct DecoderConfig {
  std::string architecture;
  std::uint32_t hidden_size = 0;
  std::uint32_t intermediate_size = 0;  // 0: not said
  std::uint32_t num_layers = 0;
  std::uint32_t num_heads = 0;
  std::uint32_t num_kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t max_positions = 0;
  float norm_epsilon = 1e-6F;
  double rope_theta = 10000.0;
  layers::RopeScaling rope_scaling;
  bool tie_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  std::uint32_t sliding_window = 0;      // 0: none
  std::vector<std::string> layer_types;  // [num_layers] or empty
};

class ConfigReader {
 public:
  explicit ConfigReader(const checkpoint::ConfigDocument& document) : document_(document) {}

  [[nodiscard]] Result<std::uint32_t> required_uint(std::string_view key) const;
  [[nodiscard]] Result<std::uint32_t> uint_or(std::string_view key, std::uint32_t fallback) const;
  [[nodiscard]] Result<bool> bool_or(std::string_view key, bool fallback) const;
  [[nodiscard]] Result<double> number_or(std::string_view key, double fallback) const;
  [[nodiscard]] Result<std::string> string_or(std::string_view key, std::string_view fallback) const;
  [[nodiscard]] Result<std::vector<std::uint32_t>> uint_list(std::string_view key) const;  // absent: empty
  [[nodiscard]] Error error(std::string_view key, ErrorCode code, std::string message) const;

  [[nodiscard]] const checkpoint::ConfigDocument& document() const { return document_; }

 private:
  const checkpoint::ConfigDocument& document_;
};

// An Error when dense feed-forward layers have no width.
[[nodiscard]] Status require_intermediate_size(const ConfigReader& reader, const DecoderConfig& config);

// Checks what every model needs: sizes that fit each other, a rope type and an activation that are implemented.
[[nodiscard]] Result<DecoderConfig> read_decoder_config(const ConfigReader& reader);

}  // namespace nvfp4::models
