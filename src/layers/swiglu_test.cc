#include "layers/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::OwnContext;
using support::Random;

double silu(double a) { return a / (1 + std::exp(-a)); }

// exp() within an ulp (2 u), the sum, the quotient and the product: 5 u relative, u = 2^-24. Where exp(-a) overflows,
// from a = -88.8 on, silu becomes -0, which is off by less than 89 / 2^128.
TEST(Swiglu, SiluAgreesWithFloat64) {
  std::vector<float> inputs = {0.0F, -0.0F, 1e-30F, -1e-30F, 88.0F, -88.0F, -89.0F, 1000.0F, -1000.0F, 1e30F, -1e30F};
  for (float a = -20.0F; a < 20.0F; a += 0.037F) inputs.push_back(a);
  std::vector<float> gate = inputs;
  const std::vector<float> up(inputs.size(), 1.75F);
  silu_and_multiply(gate, up, OwnContext(Precision::kF32));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double expected = silu(inputs[i]) * 1.75;
    EXPECT_LE(std::fabs(gate[i] - expected), 5.01 * 0x1p-24 * std::fabs(expected) + 1.75 * 89 * 0x1p-128) << inputs[i];
  }
}

TEST(Swiglu, RoundsSiluAndProductInBF16) {
  Random random(1);
  const std::vector<float> inputs = random.floats(10000, -6.0F, 6.0F);
  const std::vector<float> up = random.floats(10000, -3.0F, 3.0F);
  std::vector<float> gate = inputs;
  silu_and_multiply(gate, up, OwnContext(Precision::kBF16, 3));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const float exact = inputs[i] / (1.0F + std::exp(-inputs[i]));
    EXPECT_EQ(gate[i], round_to_bf16(round_to_bf16(exact) * up[i])) << i;
  }
}

TEST(Swiglu, NaNStaysNaN) {
  std::vector<float> gate = {NAN, 1.0F};
  silu_and_multiply(gate, std::vector<float>{1.0F, NAN}, OwnContext(Precision::kBF16));
  EXPECT_TRUE(std::isnan(gate[0]));
  EXPECT_TRUE(std::isnan(gate[1]));
}

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
