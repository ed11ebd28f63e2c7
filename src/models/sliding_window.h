// Which layers see only a window of the past. Qwen3 has a switch (use_sliding_window) and a list of layer types or the
// first windowed layer (max_window_layers); Mistral has one window for all layers.
#pragma once

#include <cstdint>
#include <vector>

#include "models/model_config.h"

namespace nvfp4::models {

struct SlidingWindow {
  std::uint32_t tokens = 0;  // 0: none
  std::vector<bool> layers;  // empty: all
  [[nodiscard]] std::uint32_t of_layer(std::uint32_t layer_idx) const {
    return layers.empty() || layers[layer_idx] ? tokens : 0;
  }
};

// Qwen3's rule.
[[nodiscard]] Result<SlidingWindow> read_optional_window(const ConfigReader& reader, const DecoderConfig& config);

}  // namespace nvfp4::models
