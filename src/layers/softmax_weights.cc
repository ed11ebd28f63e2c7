#include "layers/softmax_weights.h"

#include <array>

namespace nvfp4::layers {

void softmax_weights(std::span<const float> values, float max, float temperature, std::span<float> weights) {
  const std::size_t count = values.size();
  const float* const in = values.data();
  float* const out = weights.data();
  for (std::size_t i = 0; i < count; ++i) out[i] = exp_of_negative((in[i] - max) / temperature);
}

double sum_of(std::span<const float> values) {
  // Lanes, so that it is a vector operation.
  constexpr std::size_t kLanes = 8;
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += static_cast<double>(values[i + lane]);
  }
  double sum = 0;
  for (; i < values.size(); ++i) sum += static_cast<double>(values[i]);
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace nvfp4::layers
