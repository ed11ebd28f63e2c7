// What is chosen. Names in brackets are those of the requirements in docs/plan.md.
#include "plan/planner.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "plan/test_plans.h"

namespace nvfp4::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// --- which kernel, on each generation

TEST(PlanChoice, HopperDecodesAndPrefillsWithDifferentKernels) {
  for (const std::string_view line : {kExpertsW4A4, kExpertsW4A16}) {
    EXPECT_EQ(kernels({line}, "sm90"), "1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_wgmma");
  }
  for (const std::string_view line : {kDenseW4A4, kDenseW4A16}) {
    EXPECT_EQ(kernels({line}, "sm90"), "1-8 linear_nvfp4_bf16_mma_bulk, 9-8192 linear_nvfp4_bf16_wgmma");
  }
}
TEST(PlanChoice, AmpereAndAdaHaveOneKernelForAll) {
  for (const std::string_view machine : {"sm80", "sm86", "sm89"}) {
    EXPECT_EQ(kernels({kExpertsW4A4}, machine), "1-8192 moe_nvfp4_bf16_mma");
    EXPECT_EQ(kernels({kExpertsW4A16}, machine), "1-8192 moe_nvfp4_bf16_mma");
    EXPECT_EQ(kernels({kDenseW4A16}, machine), "1-8192 linear_nvfp4_bf16_mma");
  }
}
TEST(PlanChoice, BlackwellMultipliesFp4WhereActivationsAreFp4) {
  for (const std::string_view machine : {"sm120", "sm121"}) {
    EXPECT_EQ(kernels({kExpertsW4A4}, machine), "1-8192 moe_nvfp4_nvfp4_mma");
    EXPECT_EQ(kernels({kDenseW4A4}, machine), "1-8192 linear_nvfp4_nvfp4_mma");
  }
}
// What accepts 16-bit activations runs them: no kernel that rounds serves a W4A16 weight.
TEST(PlanChoice, W4A16NeverGetsAKernelThatRounds) {
  for (const KnownDevice& device : known_devices()) {
    EXPECT_THAT(kernels({kExpertsW4A16}, device.key), Not(HasSubstr("nvfp4_nvfp4"))) << device.key;
    EXPECT_THAT(kernels({kDenseW4A16}, device.key), Not(HasSubstr("nvfp4_nvfp4"))) << device.key;
  }
  EXPECT_THAT(why_not("moe_nvfp4_nvfp4_mma", kExpertsW4A16, "sm120"), HasSubstr("only for nvfp4 activations"));
  EXPECT_THAT(why_not("linear_nvfp4_nvfp4_mma", kDenseW4A16, "sm121"), HasSubstr("only for nvfp4 activations"));
}
TEST(PlanChoice, Fp8AndBf16LayersHaveTheirKernelEverywhere) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::string_view scheme : {"w8a8", "w8a8-token", "fp8"}) {
      EXPECT_EQ(kernels({fmt::format("1 a linear/{}/n4096/k2048", scheme)}, device.key), "1-8192 linear_fp8_bf16_mma");
    }
    EXPECT_EQ(kernels({"1 a linear/bf16/n4096/k2048"}, device.key), "1-8192 linear_bf16_mma");
  }
}
TEST(PlanChoice, ProcessorsHaveAKernelForEveryScheme) {
  for (const KnownCpu& cpu : known_cpus()) {
    for (const std::string_view scheme :
         {"w4a16", "w4a4", "w4a4-token", "fp8", "w8a8", "w8a8-token", "bf16", "f16", "f32"}) {
      const auto plan = planned({fmt::format("1 a linear/{}/n64/k64", scheme)}, cpu.key);
      ASSERT_TRUE(plan);
      EXPECT_EQ(plan->num_unserved(), 0U) << cpu.key << " " << scheme;
    }
  }
}
TEST(PlanChoice, AProcessorsInstructionSetIsNotExceeded) {
  EXPECT_THAT(kernels({kDenseW4A4}, "cpu-avx2"), HasSubstr("linear_nvfp4_nvfp4_avx2"));
  EXPECT_THAT(kernels({kDenseW4A4}, "cpu-portable"), HasSubstr("linear_nvfp4_nvfp4_loops"));
  EXPECT_THAT(why_not("linear_nvfp4_nvfp4_avx512_vnni", kDenseW4A4, "cpu-avx512"), HasSubstr("needs avx512-vnni"));
  EXPECT_EQ(why_not("linear_nvfp4_nvfp4_avx512_vnni", kDenseW4A4, "cpu-avx512-vnni"), "");
}
TEST(PlanChoice, ExpertsAreThreeLayersOnAProcessor) {
  const auto plan = planned({kExpertsW4A4}, "cpu-avx512-vbmi");
  ASSERT_TRUE(plan);
  std::vector<std::string> kinds;
  for (const PlannedLayer& line : plan->layers) kinds.push_back(line.kind());
  EXPECT_THAT(kinds, ElementsAre("mlp.experts.gate_proj", "mlp.experts.up_proj", "mlp.experts.down_proj"));
  EXPECT_EQ(planned({"1 mlp.experts moe/w4a4/relu2/h64/i64/e4/k2"}, "cpu-avx2")->layers.size(), 2U);
}

// --- layouts [R-21: one layout for few tokens and many]

TEST(PlanLayout, IsOneForAllTokens) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::string_view line : {kExpertsW4A4, kExpertsW4A16, kDenseW4A4, kDenseW4A16}) {
      const bool is_fp4 = device.caps.sm >= 120 && line.find("w4a4") != std::string_view::npos;
      EXPECT_EQ(layout(line, device.key), is_fp4 ? "block_scaled_16x64" : "fragment_16x64");
    }
  }
  EXPECT_EQ(layout("1 a linear/bf16/n64/k64", "sm90"), "row_major");
  EXPECT_EQ(layout(kDenseW4A4, "cpu-avx512"), "tile_16x64");
  EXPECT_EQ(layout("1 a linear/bf16/n64/k64", "cpu-avx512"), "row_major");
}
TEST(PlanLayout, WeightBytesAreThoseOfTheLayout) {
  EXPECT_EQ(planned({kDenseW4A4}, "sm90")->layers[0].weight_bytes, 4096ULL * 2048 * 9 / 16);
  EXPECT_EQ(planned({kExpertsW4A4}, "sm90")->layers[0].weight_bytes, 128ULL * 3 * 768 * 2048 * 9 / 16);
  EXPECT_EQ(planned({"1 a linear/bf16/n64/k64"}, "sm90")->layers[0].weight_bytes, 64U * 64 * 2);
  EXPECT_EQ(planned({"3 a linear/bf16/n64/k64"}, "sm90")->weight_bytes, 3U * 64 * 64 * 2);
  EXPECT_EQ(planned({kDenseW4A4}, "cpu-avx512")->layers[0].weight_bytes, 4096ULL * 2048 * 9 / 16);
}

// --- activations [R-07: from the checkpoint, unless somebody asks]

TEST(PlanActivations, ARequestChangesTheKernelAndIsPrinted) {
  const auto plan = planned({kExpertsW4A4}, "sm120", requested(ActivationRequest::kW4A16));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->layers[0].ranges[0].kernel, "moe_nvfp4_bf16_mma");
  EXPECT_THAT(plan_text(*plan, "m"), HasSubstr("16-bit activations on request"));
  EXPECT_EQ(kernels({kExpertsW4A16}, "sm120", requested(ActivationRequest::kW4A4)), "1-8192 moe_nvfp4_nvfp4_mma");
}
TEST(PlanActivations, OtherSchemesAreLeftAlone) {
  const auto plan = planned({"1 a linear/w8a8/n64/k64", kDenseW4A16}, "sm90", requested(ActivationRequest::kW4A4));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->layers[0].activation, Activation::kFp8Static);
  EXPECT_EQ(plan->layers[1].activation, Activation::kNvfp4Dynamic);
}

// --- what is said

TEST(PlanText, EveryKernelServesOrIsRejectedForEveryToken) {
  for (const std::string_view machine : {"sm80", "sm90", "sm120", "cpu-avx512-vbmi"}) {
    const auto plan = planned({kExpertsW4A4, kDenseW4A16, "1 lm_head linear/bf16/n1024/k2048"}, machine);
    ASSERT_TRUE(plan);
    for (const PlannedLayer& line : plan->layers) {
      std::map<std::string, std::uint64_t> tokens;
      for (const KernelRange& range : line.ranges) tokens[range.kernel] += range.last_tokens - range.first_tokens + 1;
      for (const Rejection& rejection : line.rejections) {
        EXPECT_NE(rejection.reason, "");
        tokens[rejection.kernel] += rejection.last_tokens - rejection.first_tokens + 1;
      }
      for (const auto& [kernel, count] : tokens) EXPECT_EQ(count, 8192U) << line.kind() << " " << kernel;
    }
  }
}
TEST(PlanText, IsTheSameEveryTime) {
  const auto first = planned({kExpertsW4A4, kDenseW4A16}, "sm90");
  const auto second = planned({kExpertsW4A4, kDenseW4A16}, "sm90");
  EXPECT_EQ(plan_text(*first, "m"), plan_text(*second, "m"));
}
TEST(PlanText, WhatDoesNotFitIsSaid) {
  EXPECT_THAT(plan_text(*planned({"1000 mlp.up_proj linear/w4a16/n32768/k8192"}, "sm90"), "m"),
              HasSubstr("they do not fit"));
  EXPECT_THAT(plan_text(*planned({kDenseW4A16}, "sm90"), "m"), Not(HasSubstr("do not fit")));
}

}  // namespace
}  // namespace nvfp4::plan
