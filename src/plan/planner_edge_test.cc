// What is refused: the edges of each predicate, on both sides.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "plan/planner.h"
#include "plan/test_plans.h"

namespace nvfp4::plan {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// --- the edges of each predicate

TEST(PlanEdge, TokensOfTheExpertsKernelForFew) {
  Deployment deployment;
  deployment.max_tokens = 64;
  EXPECT_EQ(kernels({kExpertsW4A4}, "sm90", deployment), "1-64 moe_nvfp4_bf16_mma_bulk");
  deployment.max_tokens = 65;
  EXPECT_EQ(kernels({kExpertsW4A4}, "sm90", deployment), "1-64 moe_nvfp4_bf16_mma_bulk, 65 moe_nvfp4_bf16_wgmma");
  EXPECT_THAT(why_not("moe_nvfp4_bf16_mma_bulk", kExpertsW4A4, "sm90", deployment),
              HasSubstr("[65-65: 65 tokens; at most 64 are possible]"));
}
TEST(PlanEdge, TokensOfTheLinearKernelForFew) {
  Deployment deployment;
  deployment.max_tokens = 8;
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8 linear_nvfp4_bf16_mma_bulk");
  deployment.max_tokens = 9;
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8 linear_nvfp4_bf16_mma_bulk, 9 linear_nvfp4_bf16_wgmma");
  EXPECT_THAT(why_not("linear_nvfp4_bf16_mma_bulk", kDenseW4A16, "sm90", deployment),
              HasSubstr("is faster for more than 8 tokens"));
}
TEST(PlanEdge, PairsOfTheExpertsKernelForFew) {
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h1024/i512/e256/k32"}, "sm90"),
            "1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_wgmma");
}
TEST(PlanEdge, ExpertsThatALayerMayHave) {
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h64/i64/e512/k8"}, "sm80"), "1-8192 moe_nvfp4_bf16_mma");
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h64/i64/e513/k8"}, "sm80"), "no kernel");
  EXPECT_THAT(why_not("moe_nvfp4_bf16_mma", "1 e moe/w4a16/silu/h64/i64/e513/k8", "sm80"),
              HasSubstr("513 experts; 1 to 512 are possible"));
}
TEST(PlanEdge, ExpertsThatATokenMayHave) {
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h64/i64/e64/k32"}, "sm80"), "1-8192 moe_nvfp4_bf16_mma");
  EXPECT_THAT(why_not("moe_nvfp4_bf16_mma", "1 e moe/w4a16/silu/h64/i64/e64/k33", "sm80"),
              HasSubstr("33 experts for each token; 1 to 32 are possible"));
}
TEST(PlanEdge, HiddenSizesAreMultiplesOf16) {
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h2064/i64/e8/k2"}, "sm90"),
            "1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_wgmma");
  EXPECT_THAT(why_not("moe_nvfp4_bf16_wgmma", "1 e moe/w4a16/silu/h2056/i64/e8/k2", "sm90"),
              HasSubstr("the hidden size 2056 is not a multiple of 16"));
}
TEST(PlanEdge, IntermediateSizesAreMultiplesOf16) {
  EXPECT_THAT(why_not("moe_nvfp4_bf16_wgmma", "1 e moe/w4a16/silu/h2048/i72/e8/k2", "sm90"),
              HasSubstr("the experts' intermediate size 72 is not a multiple of 16"));
}
TEST(PlanEdge, InputFeaturesAreMultiplesOf16) {
  EXPECT_EQ(kernels({"1 a linear/bf16/n64/k2064"}, "sm80"), "1-8192 linear_bf16_mma");
  EXPECT_THAT(why_not("linear_bf16_mma", "1 a linear/bf16/n64/k2056", "sm80"),
              HasSubstr("2056 input features; a multiple of 16 is possible"));
}
TEST(PlanEdge, OutputFeaturesHaveALimit) {
  EXPECT_THAT(kernels({"1 lm_head linear/w4a16/n262144/k2048"}, "sm120"), HasSubstr("linear_nvfp4_bf16_mma"));
  EXPECT_THAT(why_not("linear_nvfp4_bf16_mma", "1 lm_head linear/w4a16/n262145/k2048", "sm120"),
              HasSubstr("262145 output features; 1 to 262144 are possible"));
}
TEST(PlanEdge, ColumnsThatCanBeRounded) {
  EXPECT_THAT(kernels({"1 a linear/w4a4/n64/k32768"}, "sm120"), HasSubstr("linear_nvfp4_nvfp4_mma"));
  EXPECT_EQ(kernels({"1 a linear/w4a4/n64/k32784"}, "sm120"), "no kernel");
  EXPECT_THAT(why_not("linear_nvfp4_nvfp4_mma", "1 a linear/w4a4/n64/k32784", "sm120"),
              HasSubstr("32784 input features; activations of at most 32768 can be rounded"));
  EXPECT_THAT(kernels({"1 a linear/w4a16/n64/k32784"}, "sm120"), HasSubstr("linear_nvfp4_bf16_mma"));
}
TEST(PlanEdge, SizesThatNoModelHas) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::string_view scheme : {"w4a16", "w4a4", "bf16", "w8a8"}) {
      for (const std::string_view size : {"16777232", "4294967280", "18446744073709551600"}) {
        EXPECT_THAT(why_not("any kernel for GPUs", fmt::format("1 a linear/{}/n64/k{}", scheme, size), device.key),
                    HasSubstr("features; at most 16777216 are possible"));
      }
    }
  }
  EXPECT_THAT(kernels({"1 a linear/bf16/n64/k16777216"}, "sm90"), HasSubstr("linear_bf16_mma"));
}
TEST(PlanEdge, ShardsOfAWeight) {
  EXPECT_THAT(kernels({"1 qkv linear/w4a4/n64/k64/shards8"}, "sm90"), HasSubstr("linear_nvfp4_bf16_wgmma"));
  EXPECT_THAT(why_not("linear_nvfp4_bf16_wgmma", "1 qkv linear/w4a4/n64/k64/shards9", "sm90"),
              HasSubstr("9 shards; 1 to 8 are possible"));
}
TEST(PlanEdge, ScalesOfRowsAreFp8s) {
  EXPECT_EQ(kernels({"1 a linear/w8a8-token/n64/k64/rows"}, "sm89"), "1-8192 linear_fp8_bf16_mma");
  EXPECT_THAT(why_not("linear_nvfp4_bf16_mma", "1 a linear/w4a4/n64/k64/rows", "sm89"),
              HasSubstr("a scale for each row of a weight in nvfp4; only fp8 has one"));
}
TEST(PlanEdge, PlainFormatsOtherThanBf16AreNotForGpus) {
  EXPECT_THAT(why_not("linear_bf16_mma", "1 mixer.gate linear/f32/n128/k2688", "sm90"),
              HasSubstr("only for bf16 weights"));
  EXPECT_EQ(kernels({"1 mixer.gate linear/f32/n128/k2688"}, "sm90"), "no kernel");
  EXPECT_EQ(kernels({"1 a linear/f16/n128/k2688"}, "sm90"), "no kernel");
}
TEST(PlanEdge, ExpertsInOtherFormatsAreNotForGpus) {
  EXPECT_EQ(kernels({"1 e moe/bf16/silu/h64/i64/e8/k2"}, "sm90"), "no kernel");
  EXPECT_THAT(why_not("any kernel for GPUs", "1 e moe/w8a8/silu/h64/i64/e8/k2", "sm90"),
              HasSubstr("experts in fp8; only nvfp4 is possible"));
}
TEST(PlanEdge, WhatLayersOfProcessorsLack) {
  EXPECT_EQ(kernels({"1 e moe/w4a16/swigluoai/h64/i64/e8/k2"}, "cpu-avx2"), "no kernel");
  EXPECT_THAT(why_not("any kernel for processors", "1 e moe/w4a16/swigluoai/h64/i64/e8/k2", "cpu-avx2"),
              HasSubstr("silu, gelu_tanh and relu2 are possible"));
  EXPECT_THAT(kernels({"1 e moe/w4a16/swigluoai/h64/i64/e8/k2"}, "sm90"), HasSubstr("moe_nvfp4_bf16_wgmma"));
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h64/i64/e8/k2/awq"}, "cpu-avx2"), "no kernel");
  EXPECT_EQ(kernels({"1 e moe/w4a16/silu/h64/i64/e8/k2/awq"}, "sm90"), "no kernel");
  EXPECT_NE(kernels({"1 a linear/w4a16/n64/k64/awq"}, "cpu-avx2"), "no kernel");
}
TEST(PlanEdge, LongBlocks) {
  EXPECT_THAT(kernels({"1 a linear/w4a16/n64/k64/block32"}, "sm90"), HasSubstr("linear_nvfp4_bf16_wgmma"));
  EXPECT_EQ(kernels({"1 a linear/w4a4/n64/k64/block32"}, "sm90"), "no kernel");
  EXPECT_THAT(why_not("any kernel for GPUs", "1 a linear/w4a16/n64/k72/block24", "sm90"),
              HasSubstr("blocks of 24 columns; multiples of 16 are possible"));
}
TEST(PlanEdge, SharedMemoryOfADeviceInAFile) {
  Gpu gpu = std::get<Gpu>(*find_machine("sm80"));
  gpu.caps.shared_bytes_per_block = 65536;
  const auto plan = make_plan(std::vector{*parse_layer(kDenseW4A16, "t")}, gpu, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->num_unserved(), 1U);
  EXPECT_THAT(plan_text(*plan, "m"),
              AllOf(HasSubstr("bytes of shared memory, the device has 65536"), HasSubstr("NONE")));
}
TEST(PlanEdge, AnOldDeviceHasNoKernel) {
  Gpu gpu = std::get<Gpu>(*find_machine("sm80"));
  gpu.caps.sm = 75;
  const auto plan = make_plan(std::vector{*parse_layer(kDenseW4A16, "t")}, gpu, {});
  EXPECT_EQ(plan->num_unserved(), 1U);
  EXPECT_THAT(plan_text(*plan, "m"), HasSubstr("only for compute capabilities 8.x, 9.0, 12.0 and 12.1"));
}
TEST(PlanEdge, BatchInvarianceLeavesOutTheKernelsForFew) {
  Deployment deployment;
  deployment.batch_invariant = true;
  EXPECT_EQ(kernels({kExpertsW4A4}, "sm90", deployment), "1-8192 moe_nvfp4_bf16_wgmma");
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8192 linear_nvfp4_bf16_wgmma");
  EXPECT_THAT(why_not("moe_nvfp4_bf16_mma_bulk", kExpertsW4A4, "sm90", deployment),
              HasSubstr("a token's last bits depend on how many tokens there are"));
}

}  // namespace
}  // namespace nvfp4::plan
