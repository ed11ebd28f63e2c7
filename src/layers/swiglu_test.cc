#include "layers/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::OwnContext;

double silu(double a) { return a / (1 + std::exp(-a)); }

// Integer weights and inputs: only silu itself rounds.
TEST(Swiglu, TheLayerIsDownOfSiluGateTimesUp) {
  const std::vector<float> gate = {1, 0, 0, 2, -1, 1};  // [3, 2]
  const std::vector<float> up = {0, 1, 1, 1, 2, 0};
  const std::vector<float> down = {1, 2, -1, 0, 1, 4};  // [2, 3]
  const SwigluMlp mlp(support::linear_layer(gate, 3, 2), support::linear_layer(up, 3, 2),
                      support::linear_layer(down, 2, 3));
  const std::vector<float> x = {1, 2, -1, 3};
  std::vector<float> y(4);
  const OwnContext context(Precision::kF32, 2, mlp.workspace_bytes(2, 2));
  mlp.run(x, 2, y, context);
  EXPECT_LE(context.peak_bytes(), mlp.workspace_bytes(2, 2));
  for (std::size_t t = 0; t < 2; ++t) {
    const double a = x[2 * t];
    const double b = x[2 * t + 1];
    const double h[] = {silu(a) * b, silu(2 * b) * (a + b), silu(b - a) * (2 * a)};
    EXPECT_NEAR(y[2 * t], h[0] + 2 * h[1] - h[2], 1e-5);
    EXPECT_NEAR(y[2 * t + 1], h[1] + 4 * h[2], 1e-5);
  }
}

}  // namespace
}  // namespace nvfp4::layers
