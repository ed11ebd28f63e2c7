// What is asked for: kernels by name, and ranks. Names in brackets are those of the requirements in docs/plan.md.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "plan/planner.h"
#include "plan/test_plans.h"

namespace nvfp4::plan {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// --- forces [R-19: per layer kind and scheme; R-23: the name is what runs]

TEST(PlanForce, OneKindAndNoOther) {
  const auto plan = planned({kExpertsW4A4, kDenseW4A4}, "sm90", forced({"mlp.experts=moe_nvfp4_bf16_wgmma"}));
  ASSERT_TRUE(plan);
  EXPECT_EQ(layer_line(plan->layers[0]), "mlp.experts nvfp4_w4a4 1-8192 moe_nvfp4_bf16_wgmma [fragment_16x64]");
  EXPECT_EQ(plan->layers[1].ranges[0].kernel, "linear_nvfp4_bf16_mma_bulk");
  EXPECT_TRUE(plan->layers[0].is_forced);
  EXPECT_FALSE(plan->layers[1].is_forced);
}
TEST(PlanForce, OneSchemeAndNoOther) {
  const auto plan = planned({kDenseW4A4, "2 self_attn.q_proj linear/bf16/n4096/k2048"}, "sm90",
                            forced({"self_attn.q_proj:nvfp4_w4a4=linear_nvfp4_bf16_mma"}));
  ASSERT_TRUE(plan) << plan.error().to_string();
  EXPECT_EQ(plan->layers[0].ranges[0].kernel, "linear_nvfp4_bf16_mma");
  EXPECT_EQ(plan->layers[1].ranges[0].kernel, "linear_bf16_mma");
}
TEST(PlanForce, TheLastOneCounts) {
  EXPECT_EQ(
      kernels({kExpertsW4A4}, "sm90", forced({"mlp.experts=moe_nvfp4_bf16_wgmma", "mlp.experts=moe_nvfp4_bf16_mma"})),
      "1-8192 moe_nvfp4_bf16_mma");
}
TEST(PlanForce, WhatCannotServeIsAnErrorWithReasonAndCandidates) {
  EXPECT_THAT(kernels({kExpertsW4A16}, "sm120", forced({"mlp.experts=moe_nvfp4_nvfp4_mma"})),
              AllOf(HasSubstr("--kernel mlp.experts=moe_nvfp4_nvfp4_mma"), HasSubstr("only for nvfp4 activations"),
                    HasSubstr("these serve it: moe_nvfp4_bf16_mma")));
  EXPECT_THAT(kernels({kExpertsW4A4}, "sm90", forced({"mlp.experts=moe_nvfp4_bf16_mma_bulk"})),
              AllOf(HasSubstr("at most 64 are possible"), HasSubstr("moe_nvfp4_bf16_wgmma, moe_nvfp4_bf16_mma")));
  EXPECT_THAT(kernels({"1 e moe/bf16/silu/h64/i64/e8/k2"}, "sm90", forced({"e=moe_nvfp4_bf16_mma"})),
              HasSubstr("experts in bf16; only nvfp4 is possible"));
}
TEST(PlanForce, OfAProcessor) {
  EXPECT_EQ(kernels({kDenseW4A4}, "cpu-avx512-vbmi", forced({"self_attn.q_proj=linear_nvfp4_nvfp4_avx2"})),
            "1-8192 linear_nvfp4_nvfp4_avx2");
  EXPECT_THAT(
      kernels({kDenseW4A4}, "cpu-avx2", forced({"self_attn.q_proj=linear_nvfp4_nvfp4_avx512"})),
      AllOf(HasSubstr("needs avx512, this run has avx2"), HasSubstr("these serve it: linear_nvfp4_nvfp4_avx2")));
  EXPECT_THAT(kernels({kDenseW4A4}, "cpu-avx2", forced({"self_attn.q_proj=linear_nvfp4_nvfp4_avx3"})),
              HasSubstr("did you mean \"linear_nvfp4_nvfp4_avx2\"?"));
}
TEST(PlanForce, AProjectionOfExpertsOnAProcessor) {
  const auto plan =
      planned({kExpertsW4A4}, "cpu-avx512-vbmi", forced({"mlp.experts.down_proj=linear_nvfp4_nvfp4_avx2"}));
  ASSERT_TRUE(plan);
  EXPECT_NE(plan->layers[0].ranges[0].kernel, "linear_nvfp4_nvfp4_avx2");
  EXPECT_EQ(plan->layers[2].ranges[0].kernel, "linear_nvfp4_nvfp4_avx2");
}
TEST(PlanForce, UnknownNamesSuggestTheNearest) {
  EXPECT_THAT(kernels({kExpertsW4A4}, "sm90", forced({"mlp.expert=moe_nvfp4_bf16_wgmma"})),
              HasSubstr("no layer is called \"mlp.expert\"; did you mean \"mlp.experts\"?"));
  EXPECT_THAT(kernels({kExpertsW4A4}, "sm90", forced({"mlp.experts=moe_nvfp4_bf16_wgma"})),
              HasSubstr("did you mean \"moe_nvfp4_bf16_wgmma\"?"));
  EXPECT_THAT(kernels({kExpertsW4A4}, "sm90", forced({"mlp.experts:nvfp4_w4a16=moe_nvfp4_bf16_wgmma"})),
              HasSubstr("no layer of that kind has the scheme \"nvfp4_w4a16\"; did you mean \"nvfp4_w4a4\"?"));
}
TEST(PlanForce, IsReadFromText) {
  const auto all = parse_forced_kernel("a.b=c");
  ASSERT_TRUE(all);
  EXPECT_THAT((std::vector{all->kind, all->scheme, all->kernel}), ElementsAre("a.b", "", "c"));
  const auto one = parse_forced_kernel("a.b:fp8=c");
  EXPECT_THAT((std::vector{one->kind, one->scheme, one->kernel}), ElementsAre("a.b", "fp8", "c"));
  for (const std::string_view text : {"", "a", "a=", "=c", "a:=c", ":s=c"})
    EXPECT_FALSE(parse_forced_kernel(text)) << text;
}

// --- ranks

TEST(PlanRanks, EachHasItsShareOfAllSizes) {
  for (std::uint32_t tp = 1; tp <= 8; ++tp) {
    for (const std::uint32_t size : {1856U, 704U, 640U, 352U}) {
      const auto plan = planned({fmt::format("1 e moe/w4a4/relu2/h2688/i{}/e128/k6", size)}, "sm90", ranks(tp));
      ASSERT_TRUE(plan) << plan.error().to_string();
      EXPECT_EQ(plan->num_unserved(), 0U);
      EXPECT_THAT(plan->layers[0].problem, HasSubstr(fmt::format("/i{}/", piece_of(size, 16, tp, 0).padded)));
    }
  }
}
TEST(PlanRanks, ExpertsOfOtherRanksAreNotHere) {
  const auto plan = planned({kExpertsW4A4}, "sm90", ranks(1, 8));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->layers[0].problem, HasSubstr("/e16/"));
  EXPECT_EQ(plan->layers[0].weight_bytes * 8, planned({kExpertsW4A4}, "sm90")->layers[0].weight_bytes);
}
// What decides how activations are rounded is the whole layer's, on every rank.
TEST(PlanRanks, AllRanksRoundAlike) {
  const auto plan = planned({"1 e moe/w4a4/silu/h64/i64/e8/k2/ownscales"}, "sm90", ranks(2, 4));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->layers[0].problem, HasSubstr("/ownscales"));
}
TEST(PlanRanks, AnImpossibleCutIsAnErrorThatNamesTheLayer) {
  EXPECT_THAT(kernels({"1 mlp.down_proj linear/w4a4/n64/k64"}, "sm90", ranks(8)),
              AllOf(HasSubstr("mlp.down_proj"), HasSubstr("4 groups of 16; 8 ranks")));
}
TEST(PlanRanks, NumbersHaveLimits) {
  EXPECT_THAT(kernels({kDenseW4A4}, "sm90", ranks(0)), HasSubstr("--tp: is 0"));
  EXPECT_THAT(kernels({kDenseW4A4}, "sm90", ranks(1, 1025)), HasSubstr("--ep: is 1025; 1 to 1024 are possible"));
  Deployment deployment;
  deployment.max_tokens = 0;
  EXPECT_THAT(kernels({kDenseW4A4}, "sm90", deployment), HasSubstr("--max-tokens"));
}

}  // namespace
}  // namespace nvfp4::plan
