#include "models/sliding_window.h"

namespace nvfp4::models {

Result<SlidingWindow> read_optional_window(const ConfigReader& reader, const DecoderConfig& config) {
  auto used = reader.bool_or("use_sliding_window", false);
  NVFP4_RETURN_IF_ERROR(used);
  auto first_layer = reader.uint_or("max_window_layers", 28);
  NVFP4_RETURN_IF_ERROR(first_layer);
  SlidingWindow window;
  if (!*used || config.sliding_window == 0) return window;
  window.tokens = config.sliding_window;
  for (std::uint32_t layer_idx = 0; layer_idx < config.num_layers; ++layer_idx) {
    window.layers.push_back(config.layer_types.empty() ? layer_idx >= *first_layer
                                                       : config.layer_types[layer_idx] == "sliding_attention");
  }
  return window;
}

}  // namespace nvfp4::models
