// Root-mean-square norm: y = round(x / sqrt(mean(x^2) + eps)) * weight, statistics in float32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/context.h"

namespace nvfp4::layers {

class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(std::vector<float> weight, float epsilon) : weight_(std::move(weight)), epsilon_(epsilon) {}

  [[nodiscard]] std::size_t size() const { return weight_.size(); }

  // One row, x and y [size()]; may work in place.
  void apply(const float* x, float* y, const Context& context) const;
  // x, y [num_rows, size()].
  void run(std::span<const float> x, std::span<float> y, const Context& context) const;

 private:
  std::vector<float> weight_;
  float epsilon_ = 1e-6F;
};

}  // namespace nvfp4::layers
