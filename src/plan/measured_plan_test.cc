// Plans by a table: what is chosen follows what was measured, within what activations, refusals and forces allow.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "plan/planner.h"
#include "plan/test_plans.h"

namespace nvfp4::plan {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kDenseProblem = "linear/w4a16/n4096/k2048";

Deployment measured(std::string_view problem, std::vector<MeasuredTokens> tokens) {
  MeasuredTable table;
  table.label = "t.json";
  table.problems.push_back({std::string(problem), std::move(tokens)});
  Deployment deployment;
  deployment.table = std::make_shared<MeasuredTable>(std::move(table));
  return deployment;
}
// Why a kernel does not serve the first layer; all reasons.
std::string reasons_of(const Plan& plan, std::string_view kernel) {
  std::string text;
  for (const Rejection& rejection : plan.layers.at(0).rejections) {
    if (rejection.kernel == kernel) text += rejection.reason + ". ";
  }
  return text;
}

TEST(MeasuredPlan, CrossoversOfAGpuComeFromTheTable) {
  Deployment deployment =
      measured(kDenseProblem, {{1, {{"linear_nvfp4_bf16_mma_bulk", 4}, {"linear_nvfp4_bf16_wgmma", 20}}},
                               {32, {{"linear_nvfp4_bf16_mma_bulk", 15}, {"linear_nvfp4_bf16_wgmma", 20}}},
                               {64, {{"linear_nvfp4_bf16_mma_bulk", 30}, {"linear_nvfp4_bf16_wgmma", 21}}}});
  const auto plan = planned({kDenseW4A16}, "sm90", deployment);
  ASSERT_TRUE(plan);
  EXPECT_EQ(kernels_of(plan->layers[0]), "1-32 linear_nvfp4_bf16_mma_bulk, 33-8192 linear_nvfp4_bf16_wgmma");
  EXPECT_EQ(plan->layers[0].ranges[0].reason, "measured 15.0 us for 32 tokens, linear_nvfp4_bf16_wgmma 20.0");
  EXPECT_EQ(plan->layers[0].ranges[0].times[0].us, 4);
  EXPECT_THAT(reasons_of(*plan, "linear_nvfp4_bf16_mma"), HasSubstr("not measured"));
  EXPECT_THAT(plan_text(*plan, "m"), HasSubstr("; measured in t.json"));
  deployment.max_tokens = 64;
  EXPECT_THAT(reasons_of(*planned({kDenseW4A16}, "sm90", deployment), "linear_nvfp4_bf16_mma_bulk"),
              HasSubstr("measured 30.0 us, linear_nvfp4_bf16_wgmma 21.0"));
  // Without the table the list says 8 tokens.
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", {}), "1-8 linear_nvfp4_bf16_mma_bulk, 9-8192 linear_nvfp4_bf16_wgmma");
}
TEST(MeasuredPlan, RefusalsOfAGpuStay) {
  const std::string problem = "moe/w4a16/silu/h2048/i768/e128/k8";
  const Deployment deployment =
      measured(problem, {{64, {{"moe_nvfp4_bf16_mma_bulk", 10}, {"moe_nvfp4_bf16_wgmma", 30}}},
                         {128, {{"moe_nvfp4_bf16_mma_bulk", 10}, {"moe_nvfp4_bf16_wgmma", 30}}}});
  EXPECT_EQ(kernels({kExpertsW4A16}, "sm90", deployment), "1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_wgmma");
}
// However fast it is: a kernel that rounds activations serves no W4A16 weight.
TEST(MeasuredPlan, ActivationsAreBinding) {
  const Deployment deployment =
      measured(kDenseProblem, {{1, {{"linear_nvfp4_nvfp4_mma", 1}, {"linear_nvfp4_bf16_mma", 9}}}});
  EXPECT_EQ(kernels({kDenseW4A16}, "sm120", deployment), "1-8192 linear_nvfp4_bf16_mma");
  EXPECT_THAT(
      kernels({kDenseW4A16}, "cpu-avx512-vbmi",
              measured(kDenseProblem, {{1, {{"linear_nvfp4_nvfp4_avx512_vbmi", 1}, {"linear_nvfp4_f32_avx2", 9}}}})),
      HasSubstr("1-8192 linear_nvfp4_f32_avx2"));
}
TEST(MeasuredPlan, BatchInvarianceHasOneKernelForAllTokens) {
  Deployment deployment =
      measured(kDenseProblem, {{1, {{"linear_nvfp4_bf16_wgmma", 9}, {"linear_nvfp4_bf16_mma", 4}}},
                               {64, {{"linear_nvfp4_bf16_wgmma", 9}, {"linear_nvfp4_bf16_mma", 30}}}});
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1 linear_nvfp4_bf16_mma, 2-8192 linear_nvfp4_bf16_wgmma");
  deployment.batch_invariant = true;
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8192 linear_nvfp4_bf16_wgmma");
}
TEST(MeasuredPlan, KernelsForTilesTakeTurnsOnAProcessor) {
  const Deployment deployment =
      measured(kDenseProblem, {{4, {{"linear_nvfp4_f32_avx2", 10}, {"linear_nvfp4_f32_avx512", 20}}},
                               {8, {{"linear_nvfp4_f32_avx2", 40}, {"linear_nvfp4_f32_avx512", 20}}}});
  EXPECT_EQ(kernels({kDenseW4A16}, "cpu-avx512", deployment),
            "1-4 linear_nvfp4_f32_avx2, 5-8192 linear_nvfp4_f32_avx512");
}
// Sums of other kernels differ in their last bits: one of them serves all numbers of tokens.
TEST(MeasuredPlan, OtherKernelsOfAProcessorDoNot) {
  const Deployment deployment =
      measured("linear/bf16/n64/k64", {{4, {{"linear_bf16_f32_avx2", 10}, {"linear_bf16_f32_avx512", 20}}},
                                       {8, {{"linear_bf16_f32_avx2", 80}, {"linear_bf16_f32_avx512", 20}}}});
  EXPECT_EQ(kernels({"1 a linear/bf16/n64/k64"}, "cpu-avx512", deployment), "1-8192 linear_bf16_f32_avx512");
}
TEST(MeasuredPlan, GateAndUpOfAProcessorAreOne) {
  const std::string problem = "moe/w4a16/silu/h2048/i768/e128/k8";
  const auto plan =
      planned({kExpertsW4A16}, "cpu-avx512", measured(problem + " up_proj", {{1, {{"linear_nvfp4_f32_avx2", 1}}}}));
  ASSERT_TRUE(plan);
  EXPECT_EQ(kernels_of(plan->layers[0]), "1-8192 linear_nvfp4_f32_avx2");
  EXPECT_EQ(kernels_of(plan->layers[1]), "1-8192 linear_nvfp4_f32_avx2");
  EXPECT_EQ(kernels_of(plan->layers[2]), "1-8192 linear_nvfp4_f32_avx512");  // down is not in the table
}
TEST(MeasuredPlan, WhatIsNotInTheTableIsAsTheListHasIt) {
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", measured("linear/w4a16/n4096/k4096", {{1, {{"linear_nvfp4_bf16_mma", 1}}}})),
            kernels({kDenseW4A16}, "sm90", {}));
  EXPECT_EQ(kernels({kDenseW4A16}, "cpu-avx2", measured(kDenseProblem, {{1, {{"linear_nvfp4_f32_avx512", 1}}}})),
            "1-8192 linear_nvfp4_f32_avx2");
}
TEST(MeasuredPlan, AForcedKernelIsForced) {
  Deployment deployment =
      measured(kDenseProblem, {{1, {{"linear_nvfp4_bf16_mma", 1}, {"linear_nvfp4_bf16_wgmma", 9}}}});
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8192 linear_nvfp4_bf16_mma");
  deployment.forced.push_back({"self_attn.q_proj", "", "linear_nvfp4_bf16_wgmma"});
  EXPECT_EQ(kernels({kDenseW4A16}, "sm90", deployment), "1-8192 linear_nvfp4_bf16_wgmma");
}
TEST(MeasuredPlan, AKernelThatWasWrongIsOut) {
  Deployment deployment =
      measured(kDenseProblem, {{1, {{"linear_nvfp4_f32_avx2", 1}, {"linear_nvfp4_f32_loops", 90}}}});
  EXPECT_EQ(kernels({kDenseW4A16}, "cpu-avx2", deployment), "1-8192 linear_nvfp4_f32_avx2");
  deployment.refused.push_back({"linear_nvfp4_f32_avx2", "computed a wrong answer here"});
  const auto plan = planned({kDenseW4A16}, "cpu-avx2", deployment);
  EXPECT_EQ(kernels_of(plan->layers[0]), "1-8192 linear_nvfp4_f32_loops");
  EXPECT_THAT(reasons_of(*plan, "linear_nvfp4_f32_avx2"), HasSubstr("wrong answer"));
}
TEST(MeasuredPlan, TheSameTableGivesTheSamePlan) {
  const auto deployment = [] {
    return measured(kDenseProblem, {{1, {{"linear_nvfp4_bf16_mma_bulk", 4}, {"linear_nvfp4_bf16_wgmma", 4}}}});
  };
  EXPECT_EQ(plan_text(*planned({kDenseW4A16}, "sm90", deployment()), "m"),
            plan_text(*planned({kDenseW4A16}, "sm90", deployment()), "m"));
}
// What there is to measure: all that may serve, and nothing else.
TEST(MeasuredPlan, CandidatesAreWhatMayServe) {
  const auto names = [](std::string_view line, std::string_view machine, std::uint32_t num_tokens) {
    const auto plan = planned({line}, machine, {});
    const auto candidates = candidates_of(*find_machine(machine), {}, plan->layers[0]);
    EXPECT_TRUE(candidates);
    std::string out;
    for (const Candidate& candidate : *candidates) {
      if (candidate.accepts(num_tokens)) out += fmt::format("{} ", candidate.kernel);
    }
    return out;
  };
  EXPECT_THAT(names(kExpertsW4A16, "sm90", 64),
              AllOf(HasSubstr("moe_nvfp4_bf16_mma_bulk"), HasSubstr("wgmma"), Not(HasSubstr("nvfp4_nvfp4"))));
  EXPECT_THAT(names(kExpertsW4A16, "sm90", 65), Not(HasSubstr("moe_nvfp4_bf16_mma_bulk")));
  EXPECT_EQ(names(kExpertsW4A16, "cpu-avx2", 1), "linear_nvfp4_f32_avx2 linear_nvfp4_f32_loops ");
  EXPECT_EQ(names("1 embed_tokens embedding/bf16/n64/k64", "cpu-avx2", 1), "");
  EXPECT_EQ(names("1 e moe/bf16/silu/h64/i64/e8/k2", "sm90", 1), "");
}

}  // namespace
}  // namespace nvfp4::plan
