#include "layers/rope.h"

#include <cmath>
#include <numbers>

namespace nvfp4::layers {
namespace {

constexpr std::size_t kGrain = 8;  // tokens

double scaled(double frequency, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kDefault:
      return frequency;
    case RopeScaling::Kind::kLinear:
      return frequency / scaling.factor;
    case RopeScaling::Kind::kLlama3: {
      const double wavelength = 2.0 * std::numbers::pi / frequency;
      const double original = scaling.original_max_positions;
      if (wavelength < original / scaling.high_frequency_factor) return frequency;
      if (wavelength > original / scaling.low_frequency_factor) return frequency / scaling.factor;
      const double blend = (original / wavelength - scaling.low_frequency_factor) /
                           (scaling.high_frequency_factor - scaling.low_frequency_factor);
      return (1.0 - blend) * frequency / scaling.factor + blend * frequency;
    }
  }
  return frequency;
}

}  // namespace

Rope::Rope(std::uint32_t head_dim, double theta, const RopeScaling& scaling) {
  for (std::uint32_t i = 0; i < head_dim / 2; ++i) {
    frequencies_.push_back(static_cast<float>(scaled(std::pow(theta, -2.0 * i / head_dim), scaling)));
  }
}

void Rope::angles(std::uint32_t position, float* cosines, float* sines, const Context& context) const {
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    // The product in float32, as models are trained; at long contexts its rounding is part of the model.
    const float angle = static_cast<float>(position) * frequencies_[i];
    cosines[i] = context.round(static_cast<float>(std::cos(double{angle})));
    sines[i] = context.round(static_cast<float>(std::sin(double{angle})));
  }
}

void Rope::angles(const StepBatch& batch, std::span<float> angles, const Context& context) const {
  const std::size_t half = frequencies_.size();
  for (const SequenceSlice& sequence : batch.sequences) {
    context.pool.run_ranges(sequence.num_tokens, kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; ++i) {
        float* const cosines = angles.data() + (sequence.first_token + i) * 2 * half;
        this->angles(sequence.first_position + static_cast<std::uint32_t>(i), cosines, cosines + half, context);
      }
    });
  }
}

void rotate_heads(float* heads, std::uint32_t num_heads, std::uint32_t head_dim, const float* cosines,
                  const float* sines, const Context& context) {
  context.rows.rotate(heads, cosines, sines, num_heads, head_dim / 2, context.rounding());
}

}  // namespace nvfp4::layers
