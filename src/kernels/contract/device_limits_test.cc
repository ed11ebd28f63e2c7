// What kernels for a GPU refuse: each limit from both sides.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_routing.h"

namespace nvfp4::kernels {
namespace {

MoeProblem qwen() {
  MoeProblem problem;
  problem.hidden = 2048;
  problem.intermediate = 768;
  problem.num_experts = 128;
  problem.top_k = 8;
  return problem;
}

template <class Problem>
struct Case {
  std::function<void(Problem&)> change;
  std::string_view words;  // of the refusal; empty: it is served
};

template <class Problem>
void expect_refusals(const Problem& good, std::string (*refusal)(const Problem&),
                     const std::vector<Case<Problem>>& cases) {
  EXPECT_EQ(refusal(good), "");
  for (const auto& [change, words] : cases) {
    Problem problem = good;
    change(problem);
    const std::string found = refusal(problem);
    EXPECT_EQ(found.empty(), words.empty()) << found << " / " << words;
    EXPECT_NE(found.find(words), std::string::npos) << found << " / " << words;
    EXPECT_EQ(found.find('\n'), std::string::npos);
  }
}

TEST(MoeLimits, EachFromBothSides) {
  expect_refusals<MoeProblem>(qwen(), moe_limits_refusal,
                              {{[](auto& p) { p.hidden = 16; }, ""},
                               {[](auto& p) { p.hidden = 0; }, "hidden size is 0"},
                               {[](auto& p) { p.hidden = 24; }, "hidden size 24 is not a multiple of 16"},
                               {[](auto& p) { p.intermediate = 1856; }, ""},
                               {[](auto& p) { p.intermediate = 1857; }, "intermediate size 1857"},
                               {[](auto& p) { p.shared_intermediate = 3712; }, ""},
                               {[](auto& p) { p.shared_intermediate = 8; }, "shared expert's intermediate size 8"},
                               {[](auto& p) { p.num_experts = 512; }, ""},
                               {[](auto& p) { p.num_experts = 513; }, "513 experts"},
                               {[](auto& p) { p.num_experts = 0; }, "0 experts"},
                               {[](auto& p) { p.num_global_experts = 128; }, ""},
                               {[](auto& p) { p.num_global_experts = 127; }, "only 127 exist"},
                               {[](auto& p) { p.top_k = 32; }, ""},
                               {[](auto& p) { p.top_k = 33; }, "33 experts for each token"},
                               {[](auto& p) { p.top_k = 0; }, "0 experts for each token"},
                               {[](auto& p) { p.activation = Activation::kNvfp4Dynamic; }, ""},
                               {[](auto& p) { p.activation = Activation::kFp8Static; }, "activations are"}});
}

TEST(LinearLimits, EachFromBothSides) {
  DeviceLinearProblem good;
  good.out_features = 4096;
  good.in_features = 2048;
  expect_refusals<DeviceLinearProblem>(
      good, device_linear_limits_refusal,
      {{[](auto& p) { p.weight = WeightFormat::kFp8; }, ""},
       {[](auto& p) { p.weight = WeightFormat::kF32; }, "the weight is f32"},
       {[](auto& p) { p.out_features = 1; }, ""},
       {[](auto& p) { p.out_features = 262144; }, ""},
       {[](auto& p) { p.out_features = 262145; }, "262145 output features"},
       {[](auto& p) { p.out_features = 0; }, "0 output features"},
       {[](auto& p) { p.in_features = 16; }, ""},
       {[](auto& p) { p.in_features = 8; }, "8 input features"},
       {[](auto& p) { p.num_shards = 8; }, ""},
       {[](auto& p) { p.num_shards = 9; }, "9 shards"},
       {[](auto& p) { p.per_row_scale = true; }, "a scale for each row"},
       {[](auto& p) { p.weight = WeightFormat::kFp8, p.per_row_scale = true; }, ""},
       {[](auto& p) { p.weight = WeightFormat::kBF16; }, ""},
       {[](auto& p) { p.weight = WeightFormat::kBF16, p.activation = Activation::kNvfp4Static; }, "only 16-bit"}});
}

TEST(RouterLimits, EachFromBothSides) {
  RouterProblem good;
  good.num_experts = 256;
  good.top_k = 8;
  good.num_groups = 8;
  good.top_groups = 4;
  expect_refusals<RouterProblem>(good, router_limits_refusal,
                                 {{[](auto& p) { p.num_experts = 512; }, ""},
                                  {[](auto& p) { p.num_experts = 520; }, "520 experts"},
                                  {[](auto& p) { p.num_groups = 7; }, "equal groups"},
                                  {[](auto& p) { p.num_groups = 128, p.top_groups = 4; }, ""},
                                  {[](auto& p) { p.num_groups = 256; }, "groups of one"},
                                  {[](auto& p) { p.top_groups = 9; }, "9 groups of 8"},
                                  {[](auto& p) { p.top_groups = 0; }, "0 groups of 8"},
                                  {[](auto& p) { p.top_k = 32; }, ""},
                                  {[](auto& p) { p.top_k = 33; }, "33 experts"},
                                  {[](auto& p) { p.num_groups = 128, p.top_groups = 3; }, "of 6 in"}});
}

TEST(MoeCall, IsCheckedBeforeAnythingIsLaunched) {
  alignas(16) std::uint8_t bytes[16]{};
  const float scale = 1.0F;
  const std::int32_t id = 0;
  Bf16Bits number = 0;
  DeviceMoePlan plan{qwen(), {}};
  plan.sizes.max_tokens = 4;
  plan.sizes.workspace_bytes = 16;
  DeviceMoeWeights weights;
  weights.experts = {bytes, bytes, &scale, &scale, &scale, nullptr, nullptr};
  DeviceMoeArgs args{4, &number, &id, &scale, &number, nullptr, nullptr};
  const DeviceWorkspace workspace{reinterpret_cast<std::byte*>(bytes), 16};
  EXPECT_TRUE(check_moe_call(plan, weights, args, workspace).ok());

  const auto message = [&](const Status& status) { return status.ok() ? "" : status.error().to_string(); };
  args.num_tokens = 5;
  EXPECT_EQ(message(check_moe_call(plan, weights, args, workspace)), "MoE layer: 5 tokens, but the plan is for 4");
  args.num_tokens = 4;
  EXPECT_EQ(message(check_moe_call(plan, weights, args, {workspace.data, 15})),
            "MoE layer: a workspace of 15 bytes, but the plan needs 16");
  args.x = nullptr;
  EXPECT_FALSE(check_moe_call(plan, weights, args, workspace).ok());
  args.num_tokens = 0;
  EXPECT_TRUE(check_moe_call(plan, weights, args, workspace).ok());
  weights.experts.gate_scale2 = nullptr;
  EXPECT_FALSE(check_moe_call(plan, weights, args, workspace).ok());
  plan.problem.function = ExpertFunction::kRelu2;
  EXPECT_TRUE(check_moe_call(plan, weights, args, workspace).ok());
  plan.problem.shared_intermediate = 16;
  EXPECT_FALSE(check_moe_call(plan, weights, args, workspace).ok());
  weights.shared = weights.experts;
  EXPECT_TRUE(check_moe_call(plan, weights, args, workspace).ok());
  plan.problem.activation = Activation::kNvfp4Static;
  EXPECT_FALSE(check_moe_call(plan, weights, args, workspace).ok());
}

TEST(LinearCall, IsCheckedBeforeAnythingIsLaunched) {
  std::uint8_t bytes[16]{};
  DeviceLinearPlan plan;
  plan.problem.out_features = 32;
  plan.problem.in_features = 16;
  plan.sizes.max_tokens = 1;
  DeviceLinearWeight weight;
  weight.elements = bytes;
  weight.shards.count = 2;
  weight.shards.end_rows = {16, 32};
  Bf16Bits number = 0;
  const DeviceLinearArgs args{1, &number, &number};
  EXPECT_TRUE(check_device_linear_call(plan, weight, args, {}).ok());
  weight.shards.end_rows = {16, 31};
  EXPECT_EQ(check_device_linear_call(plan, weight, args, {}).error().to_string(),
            "linear layer: the shards end at row 31 of 32");
  weight.shards.end_rows = {33, 32};
  EXPECT_FALSE(check_device_linear_call(plan, weight, args, {}).ok());
  weight.shards.end_rows = {16, 32};
  plan.problem.has_bias = true;
  EXPECT_FALSE(check_device_linear_call(plan, weight, args, {}).ok());
  plan.problem.has_bias = false;
  plan.problem.activation = Activation::kNvfp4Static;
  EXPECT_TRUE(check_device_linear_call(plan, weight, args, {}).ok());
  weight.input_scale = 0.0F;
  EXPECT_FALSE(check_device_linear_call(plan, weight, args, {}).ok());
}

}  // namespace
}  // namespace nvfp4::kernels
