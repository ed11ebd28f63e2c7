#include "layers/rope.h"

#include <cmath>
#include <numbers>

namespace nvfp4::layers {
namespace {

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

void Rope::rotate(float* head, const float* cosines, const float* sines, const Context& context) const {
  const std::size_t half = frequencies_.size();
  for (std::size_t i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = head[i + half];
    head[i] = context.round(a * cosines[i] - b * sines[i]);
    head[i + half] = context.round(b * cosines[i] + a * sines[i]);
  }
}

}  // namespace nvfp4::layers
