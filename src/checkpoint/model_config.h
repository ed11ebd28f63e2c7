// The few facts of config.json that reading weights needs; the rest belongs to the model that reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/config_document.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

struct ModelConfig {
  std::string architecture;  // architectures[0], else model_type, else "unknown"
  // Of the text model (text_config when there is one); 0: not said.
  std::uint64_t hidden_size = 0;
  std::uint64_t vocab_size = 0;
  std::uint64_t num_layers = 0;
  std::uint64_t num_heads = 0;
  std::uint64_t num_kv_heads = 0;
  std::uint64_t head_dim = 0;
  std::uint64_t num_nextn_layers = 0;  // multi-token-prediction layers numbered after the last layer
};

// Sizes must be positive and plausible, heads must divide: what no model can have is an Error here.
[[nodiscard]] Result<ModelConfig> read_model_config(const std::optional<ConfigDocument>& config);

}  // namespace nvfp4::checkpoint
