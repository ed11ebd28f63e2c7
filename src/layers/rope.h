// Rotary position embedding, NeoX order (dimension i is paired with i + head_dim / 2), over all dimensions of a head.
//
//   angle(position, i) = position * frequency[i],  frequency[i] = theta^(-2 i / head_dim), then scaled:
//   llama3   wavelength = 2 pi / f; shorter than original / high: f; longer than original / low: f / factor; between
//            them a blend (Llama 3.1's rule)
//   linear   f / factor
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/context.h"
#include "layers/step_batch.h"

namespace nvfp4::layers {

struct RopeScaling {
  enum class Kind : std::uint8_t { kDefault, kLinear, kLlama3 };
  Kind kind = Kind::kDefault;
  double factor = 1.0;
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  double original_max_positions = 8192.0;
};

class Rope {
 public:
  Rope() = default;
  Rope(std::uint32_t head_dim, double theta, const RopeScaling& scaling);

  [[nodiscard]] const std::vector<float>& frequencies() const { return frequencies_; }

  // Cosines and sines [head_dim / 2] of one position, rounded to the context's precision.
  void angles(std::uint32_t position, float* cosines, float* sines, const Context& context) const;
  // Those of every token of a batch: [num_tokens, 2, head_dim / 2]. All layers share them.
  void angles(const StepBatch& batch, std::span<float> angles, const Context& context) const;

 private:
  std::vector<float> frequencies_;  // [head_dim / 2]
};

// Rotates heads [num_heads, head_dim] in place by one position's cosines and sines.
void rotate_heads(float* heads, std::uint32_t num_heads, std::uint32_t head_dim, const float* cosines,
                  const float* sines, const Context& context);

}  // namespace nvfp4::layers
