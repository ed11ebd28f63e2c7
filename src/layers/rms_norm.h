// Root-mean-square norm: y = round(x / sqrt(mean(x^2) + eps)) * weight, statistics in float32.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "layers/context.h"

namespace nvfp4::layers {

class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(std::vector<float> weight, float epsilon) : weight_(std::move(weight)), epsilon_(epsilon) {}

  [[nodiscard]] std::size_t size() const { return weight_.size(); }

  // x, y [num_rows, size()]; may work in place. On the calling thread.
  void apply(const float* x, float* y, std::size_t num_rows, const Context& context) const;
  // The same on all workers.
  void run(std::span<const float> x, std::span<float> y, const Context& context) const;

 private:
  std::vector<float> weight_;
  float epsilon_ = 1e-6F;
};

}  // namespace nvfp4::layers
