// What is chosen and what is refused. Names in brackets are those of the requirements in docs/plan.md.
#include "plan/planner.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "plan/inventory.h"
#include "plan/plan_text.h"

namespace nvfp4::plan {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kExpertsW4A4 = "48 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8";
constexpr std::string_view kExpertsW4A16 = "48 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8";
constexpr std::string_view kDenseW4A4 = "48 self_attn.q_proj linear/w4a4/n4096/k2048";
constexpr std::string_view kDenseW4A16 = "48 self_attn.q_proj linear/w4a16/n4096/k2048";

Result<Plan> planned(std::initializer_list<std::string_view> lines, std::string_view machine,
                     const Deployment& deployment = {}) {
  std::vector<Layer> layers;
  for (const std::string_view line : lines) layers.push_back(*parse_layer(line, "test"));
  return make_plan(layers, *find_machine(machine), deployment);
}
// "1-64 moe_x, 65-8192 moe_y" of the first layer; an Error's words.
std::string kernels(std::initializer_list<std::string_view> lines, std::string_view machine,
                    const Deployment& deployment = {}) {
  const auto plan = planned(lines, machine, deployment);
  if (!plan) return plan.error().to_string();
  const std::string line = layer_line(plan->layers.at(0));
  const std::size_t begin = line.find(' ', line.find(' ') + 1) + 1;
  return line.substr(begin, line.rfind(" [") - begin);
}
std::string layout(std::string_view line, std::string_view machine) {
  return planned({line}, machine)->layers[0].layout;
}
// Why a kernel does not serve the first layer; all reasons.
std::string why_not(std::string_view kernel, std::string_view line, std::string_view machine,
                    const Deployment& deployment = {}) {
  std::string text;
  const auto plan = planned({line}, machine, deployment);
  if (!plan) return plan.error().to_string();
  for (const Rejection& rejection : plan->layers[0].rejections) {
    if (rejection.kernel != kernel) continue;
    text += fmt::format("[{}-{}: {}]", rejection.first_tokens, rejection.last_tokens, rejection.reason);
  }
  return text;
}
Deployment forced(std::initializer_list<std::string_view> texts) {
  Deployment deployment;
  for (const std::string_view text : texts) deployment.forced.push_back(*parse_forced_kernel(text));
  return deployment;
}
Deployment requested(ActivationRequest request) {
  Deployment deployment;
  deployment.activations = request;
  return deployment;
}
Deployment ranks(std::uint32_t tp, std::uint32_t ep = 1) {
  Deployment deployment;
  deployment.ranks = {tp, ep};
  return deployment;
}

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

// --- what it costs

double us_of(std::string_view line, std::string_view machine, std::uint32_t tokens) {
  const auto plan = planned({line}, machine);
  for (const KernelRange& range : plan->layers[0].ranges) {
    for (const ExpectedTime& time : range.times) {
      if (time.num_tokens == tokens) return time.us;
    }
  }
  return 0;
}

TEST(PlanCost, IsNeverLessThanReadingTheWeights) {
  for (const KnownDevice& device : known_devices()) {
    const double bytes = 4096.0 * 2048 * 9 / 16;
    EXPECT_GT(us_of(kDenseW4A16, device.key, 1), bytes / device.rates.memory_gb_per_s * 1e-3) << device.key;
    const double products = 2.0 * 8192 * 4096 * 2048;
    EXPECT_GT(us_of(kDenseW4A16, device.key, 8192), products / device.rates.bf16_tflops * 1e-6) << device.key;
  }
}
TEST(PlanCost, GrowsWithTokensWithinAKernel) {
  for (const std::string_view machine : {"sm80", "sm120", "cpu-avx512"}) {
    double before = 0;
    for (const std::uint32_t tokens : {1U, 8U, 64U, 512U, 4096U}) {
      const double us = us_of(kExpertsW4A4, machine, tokens);
      EXPECT_GE(us, before) << machine << " " << tokens;
      before = us;
    }
  }
}
TEST(PlanCost, TilingsAreThoseThatKernelsChoose) {
  const auto tiling = [](std::string_view line, std::string_view machine, std::size_t range_idx, std::uint32_t tokens) {
    const auto plan = planned({line}, machine);
    for (const ExpectedTime& time : plan->layers[0].ranges.at(range_idx).times) {
      if (time.num_tokens == tokens) return time.tiling;
    }
    return std::string("none");
  };
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 0, 8), "");
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 1, 256), "128 x 32");
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 1, 4096), "256 x 128");
  EXPECT_EQ(tiling(kExpertsW4A4, "sm120", 0, 1), "32 x 8");
  EXPECT_EQ(tiling(kExpertsW4A4, "sm120", 0, 8192), "128 x 128");
  EXPECT_THAT(tiling(kDenseW4A4, "sm120", 0, 1), HasSubstr("32 x 8"));
  EXPECT_THAT(tiling(kDenseW4A16, "sm90", 1, 8192), HasSubstr("128 x 256"));
  EXPECT_THAT(tiling(kDenseW4A16, "sm80", 0, 8192), HasSubstr(" x "));
}
// Within a third of what was measured on an H200 (docs/benchmarks.md).
TEST(PlanCost, IsNearWhatWasMeasured) {
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 1), 11.7, 3.9);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 4), 34.8, 11.6);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 16), 70.5, 23);
  EXPECT_NEAR(us_of(kDenseW4A16, "sm90", 1), 3.8, 1.2);
  EXPECT_NEAR(us_of("1 a linear/w4a16/n25600/k5120", "sm90", 1), 26.4, 8.8);
  EXPECT_NEAR(us_of("1 a linear/w4a16/n8192/k8192", "sm90", 1), 15.8, 5.2);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 512), 159, 53);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 1024), 222, 74);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 8192), 1240, 410);
}
TEST(PlanCost, ThirtyBillionWeightsArePlannedIn50Ms) {
  const auto begin = std::chrono::steady_clock::now();
  const auto plan =
      planned({"48 self_attn.q_proj linear/w4a4/n4096/k2048", "48 self_attn.k_proj linear/w4a4/n512/k2048",
               "48 self_attn.v_proj linear/w4a4/n512/k2048", "48 self_attn.o_proj linear/w4a4/n2048/k4096",
               "48 mlp.gate linear/bf16/n128/k2048", kExpertsW4A4, "1 lm_head linear/bf16/n151936/k2048"},
              "sm90");
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  ASSERT_TRUE(plan);
  EXPECT_LT(ms, 50 * 10);  // a loaded machine, and sanitizers; the command says what it takes
}

}  // namespace
}  // namespace nvfp4::plan
