#include "layers/rms_norm.h"

#include <cmath>

namespace nvfp4::layers {

void RmsNorm::apply(const float* x, float* y, const Context& context) const {
  // In float64 the sum needs no thought about its order.
  double sum = 0;
  for (std::size_t i = 0; i < weight_.size(); ++i) sum += double{x[i]} * double{x[i]};
  const auto mean = static_cast<float>(sum / static_cast<double>(weight_.size()));
  const float scale = 1.0F / std::sqrt(mean + epsilon_);
  for (std::size_t i = 0; i < weight_.size(); ++i) y[i] = context.round(context.round(x[i] * scale) * weight_[i]);
}

void RmsNorm::run(std::span<const float> x, std::span<float> y, const Context& context) const {
  context.pool.run(x.size() / size(), [&](std::size_t row, std::size_t) {
    apply(x.data() + row * size(), y.data() + row * size(), context);
  });
}

}  // namespace nvfp4::layers
