#include "layers/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::LinearSpec;
using support::OwnContext;
using support::Random;
using support::RandomLinear;

TEST(Linear, RoundsToThePrecisionOfTheModel) {
  Random random(1);
  const RandomLinear weight({kernels::WeightFormat::kNvfp4, Activation::kNvfp4Dynamic, 33, 64}, random);
  const Linear linear = support::linear_layer(weight);
  EXPECT_EQ(linear.out_features(), 33U);
  EXPECT_EQ(linear.in_features(), 64U);
  const std::vector<float> x = random.floats(5 * 64, -1, 1);
  std::vector<float> exact(5 * 33), rounded(5 * 33);
  linear.run(x, 5, exact, OwnContext(Precision::kF32));
  linear.run(x, 5, rounded, OwnContext(Precision::kBF16, 2, linear.workspace_bytes(5, 2)));
  std::size_t num_changed = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(rounded[i], round_to_bf16(exact[i]));
    num_changed += rounded[i] != exact[i];
  }
  EXPECT_GT(num_changed, 100U);
}

TEST(Linear, SaysWhenNoKernelServesIt) {
  Random random(2);
  prepare::PreparedWeight weight =
      support::prepared(RandomLinear({kernels::WeightFormat::kBF16, Activation::k16Bit, 4, 16}, random));
  WorkerPool pool(1);
  weight.name = "model.layers.0.mlp.up_proj";
  weight.activation = Activation::kNvfp4Static;
  const auto linear = Linear::create(std::move(weight), best_instruction_set(), pool);
  ASSERT_FALSE(linear.ok());
  EXPECT_THAT(linear.error().to_string(), testing::HasSubstr("model.layers.0.mlp.up_proj: no kernel serves bf16"));
}

}  // namespace
}  // namespace nvfp4::layers
