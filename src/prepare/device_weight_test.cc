// What may go to a device and what may not; nothing is moved here.
#include "prepare/device_weight.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace nvfp4::prepare {
namespace {

using kernels::WeightFormat;

PreparedWeight weight(std::string name, std::uint32_t num_experts, std::uint64_t out_features,
                      std::uint64_t in_features) {
  PreparedWeight weight;
  weight.name = std::move(name);
  weight.format = WeightFormat::kNvfp4;
  weight.num_experts = num_experts;
  weight.out_features = out_features;
  weight.in_features = in_features;
  weight.block_size = 16;
  weight.activation = Activation::kNvfp4Static;
  weight.scale2.assign(num_experts, 0.5F);
  weight.input_scale.assign(num_experts, 0.25F);
  return weight;
}

std::string message_of(const auto& result) { return result.ok() ? "" : result.error().to_string(); }

TEST(DeviceLinearProblem, SaysWhatTheWeightIs) {
  PreparedWeight fused = weight("qkv", 1, 96, 64);
  fused.shard_rows = {64, 16, 16};
  fused.scale2 = {1.0F, 2.0F, 3.0F};
  fused.bias.assign(96, 0.0F);
  const auto problem = device_linear_problem(fused);
  ASSERT_TRUE(problem.ok()) << message_of(problem);
  EXPECT_EQ(problem.value().num_shards, 3U);
  EXPECT_EQ(problem.value().out_features, 96U);
  EXPECT_EQ(problem.value().in_features, 64U);
  EXPECT_TRUE(problem.value().has_bias);
  EXPECT_EQ(problem.value().activation, Activation::kNvfp4Static);
}

TEST(DeviceLinearProblem, RefusesWhatKernelsCannotHold) {
  const std::vector<std::pair<std::function<void(PreparedWeight&)>, std::string>> cases = {
      {[](auto& w) { w.odd_scales = true; }, "x: it cannot go to the device: a block scale is negative or NaN"},
      {[](auto& w) { w.block_size = 24; },
       "x: it cannot go to the device: its blocks are of 24 columns; multiples of 16 are possible"},
      {[](auto& w) { w.layout = kernels::WeightLayout::kTile16x64; },
       "x: it cannot go to the device: it is in the layout of a CPU kernel"},
      {[](auto& w) { w.input_scale.clear(); }, "x: it cannot go to the device: it has 0 input scales for 1 experts"},
      {[](auto& w) { w.num_experts = 2, w.input_scale = {1, 1}; }, "x: it cannot go to the device: it has 2 experts"},
      {[](auto& w) { w.format = WeightFormat::kF32, w.activation = Activation::k16Bit; },
       "x: it cannot go to the device: the weight is f32; nvfp4, fp8 and bf16 are possible"},
      {[](auto& w) { w.shard_rows.assign(9, 1); }, "x: it cannot go to the device: 9 shards; 1 to 8 are possible"}};
  for (const auto& [change, expected] : cases) {
    PreparedWeight changed = weight("x", 1, 32, 64);
    change(changed);
    EXPECT_EQ(message_of(device_linear_problem(changed)), expected);
  }
}

ExpertProjections experts() { return {weight("gate", 4, 48, 64), weight("up", 4, 48, 64), weight("down", 4, 64, 48)}; }

TEST(DeviceExpertProblem, SaysWhatTheExpertsAre) {
  ExpertProjections projections = experts();
  auto problem = device_expert_problem(projections);
  ASSERT_TRUE(problem.ok()) << message_of(problem);
  EXPECT_EQ(problem.value().hidden, 64U);
  EXPECT_EQ(problem.value().intermediate, 48U);
  EXPECT_EQ(problem.value().num_experts, 4U);
  EXPECT_TRUE(problem.value().gated());
  EXPECT_TRUE(problem.value().one_fc1_input_scale);
  projections.gate->input_scale[3] = projections.up.input_scale[3] = 0.75F;
  problem = device_expert_problem(projections);
  ASSERT_TRUE(problem.ok());
  EXPECT_FALSE(problem.value().one_fc1_input_scale);
  projections.gate.reset();
  problem = device_expert_problem(projections);
  ASSERT_TRUE(problem.ok());
  EXPECT_FALSE(problem.value().gated());
}

TEST(DeviceExpertProblem, RefusesWhatDoesNotBelongTogether) {
  const std::vector<std::pair<std::function<void(ExpertProjections&)>, std::string>> cases = {
      {[](auto& e) { e.gate->input_scale[2] = 0.5F; },
       "gate: it cannot go to the device: expert 2 has the input scale 0.5 there and 0.25 in up; run it as W4A16"},
      {[](auto& e) { e.gate->out_features = 32; }, "gate: it cannot go to the device: it has another size than up"},
      {[](auto& e) { e.down.in_features = 64; }, "down: it cannot go to the device: it is 64 x 64, up is 48 x 64"},
      {[](auto& e) { e.down.activation = Activation::kNvfp4Dynamic; },
       "down: it cannot go to the device: its activations are nvfp4_dynamic, those of up nvfp4_static"},
      {[](auto& e) { e.down = weight("down", 3, 64, 48); },
       "down: it cannot go to the device: 3 experts with 3 scales, but 4 in up"},
      {[](auto& e) { e.up.bias.assign(48, 0.0F); }, "up: it cannot go to the device: experts with a bias"},
      {[](auto& e) { e.up.pre_quant_scale.assign(64, 1.0F); },
       "up: it cannot go to the device: experts with a pre_quant_scale"},
      {[](auto& e) { e.down.format = WeightFormat::kFp8; },
       "down: it cannot go to the device: experts in fp8; only nvfp4 is possible"}};
  for (const auto& [change, expected] : cases) {
    ExpertProjections changed = experts();
    change(changed);
    const std::string found = message_of(device_expert_problem(changed));
    EXPECT_EQ(found.substr(0, expected.size()), expected);
  }
}

}  // namespace
}  // namespace nvfp4::prepare
