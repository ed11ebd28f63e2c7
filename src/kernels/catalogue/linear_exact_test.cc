// W4A4 is exact: where the float32 sums cannot round, every kernel must give the float64 result bit for bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "formats/e2m1.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "kernels/reference/linear.h"
#include "support/packed_linear.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::LinearSpec;
using support::Random;
using support::RandomLinear;

constexpr std::uint32_t kRows = 9;

// Weights with power-of-two scales of every kind.
RandomLinear powers_of_two(std::uint64_t in_features, QuantizerRule rule, Random& random) {
  LinearSpec spec{WeightFormat::kNvfp4, Activation::kNvfp4Static, 21, in_features, 3, 16, 3};
  spec.input_rule = rule;
  RandomLinear linear(spec, random);
  for (std::uint8_t& scale : linear.block_scales) scale = static_cast<std::uint8_t>(0x30 + 8 * random.below(3));
  for (float& scale : linear.scale2) scale = std::ldexp(1.0F, -static_cast<int>(random.below(6)));
  const float multiplier = 0x1p-6F;
  linear.input_scale.assign(3, rule == QuantizerRule::kModelOpt ? multiplier : 1 / multiplier);
  return linear;
}

// Inputs that are codes times a block scale of 2^3 times the multiplier: each block has a 6, so its scale is found
// again.
std::vector<float> exact_input(std::uint64_t in_features, Random& random) {
  std::vector<float> x(kRows * in_features);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float code = decode_e2m1(static_cast<std::uint8_t>(i % 16 == 5 ? 7 : random.below(16)));
    x[i] = code * 8.0F * 0x1p-6F;
  }
  return x;
}

class ExactProducts : public testing::TestWithParam<QuantizerRule> {};

TEST_P(ExactProducts, EqualFloat64BitForBit) {
  Random random(7);
  WorkerPool pool(2);
  std::size_t num_kernels = 0;
  for (const LinearKernel& kernel : linear_kernels()) {
    for (const std::uint64_t in_features : {16, 48, 80, 320, 1856}) {
      const RandomLinear linear = powers_of_two(in_features, GetParam(), random);
      if (!runs_here(kernel.needs) || !kernel.refusal(linear.problem()).empty()) continue;
      ++num_kernels;
      const std::vector<float> x = exact_input(in_features, random);
      const std::vector<std::uint32_t> offsets = {0, 4, 4, kRows};
      std::vector<float> y(kRows * 21);
      Workspace workspace;
      workspace.reserve(kernel.workspace_bytes(linear.problem(), kRows, 2));
      const LinearArgs args{x.data(), y.data(), kRows, offsets};
      kernel.run(support::PackedLinear(linear, kernel.layout).view(), Activation::kNvfp4Static, args, workspace, pool);
      std::vector<double> magnitude;
      const std::vector<double> expected = reference::linear(linear.view(), Activation::kNvfp4Static, args, &magnitude);
      for (std::size_t i = 0; i < y.size(); ++i) {
        // Before scale2 (2^-5 at least) and the input's multiplier, sums are whole multiples of 0.5 * 0.5 * 8 * 0.5 =
        // 1, and 1856 * 36 * 8 * 2 < 2^24 bounds them: no addition rounds, in whatever order.
        ASSERT_LT(magnitude[i] * 0x1p6 * 0x1p5, 0x1p24 * 0x1p5);
        EXPECT_EQ(std::bit_cast<std::uint32_t>(y[i] + 0.0F),
                  std::bit_cast<std::uint32_t>(static_cast<float>(expected[i]) + 0.0F))
            << kernel.name << " in_features " << in_features << ": " << y[i] << " instead of " << expected[i];
        EXPECT_EQ(static_cast<double>(y[i]), expected[i]);
      }
    }
  }
  EXPECT_GE(num_kernels, 5U);
}

INSTANTIATE_TEST_SUITE_P(Rules, ExactProducts,
                         testing::Values(QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors),
                         [](const auto& rule) {
                           return rule.param == QuantizerRule::kModelOpt ? "modelopt" : "compressed_tensors";
                         });

// A weight of one: the output is the input as it was rounded.
TEST(ExactProducts, AnIdentityShowsTheRoundedInput) {
  Random random(8);
  WorkerPool pool(1);
  constexpr std::uint64_t kSize = 64;
  for (const LinearKernel& kernel : linear_kernels()) {
    for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
      LinearSpec spec{WeightFormat::kNvfp4, activation, kSize, kSize};
      RandomLinear linear(spec, random);
      if (!runs_here(kernel.needs) || !kernel.refusal(linear.problem()).empty()) continue;
      std::fill(linear.elements.begin(), linear.elements.end(), std::byte{0});
      for (std::uint64_t n = 0; n < kSize; ++n) {
        linear.elements[(n * kSize + n) / 2] = n % 2 == 0 ? std::byte{0x02} : std::byte{0x20};  // 1.0
      }
      std::fill(linear.block_scales.begin(), linear.block_scales.end(), std::uint8_t{0x38});  // 1.0
      linear.scale2.assign(1, 1.0F);
      const std::vector<float> x = random.floats(kSize, -4.0F, 4.0F);
      std::vector<float> y(kSize);
      Workspace workspace;
      workspace.reserve(kernel.workspace_bytes(linear.problem(), 1, 1));
      kernel.run(support::PackedLinear(linear, kernel.layout).view(), activation, {x.data(), y.data(), 1, {}},
                 workspace, pool);
      std::vector<double> rounded(kSize);
      reference::round_activation(linear.view(), activation, 0, x, rounded);
      for (std::uint64_t k = 0; k < kSize; ++k) EXPECT_EQ(y[k], static_cast<float>(rounded[k])) << kernel.name;
      EXPECT_NE(std::vector<float>(y), x);
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
