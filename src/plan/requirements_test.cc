// The requirements that docs/plan.md lists, a test each; and the cases in which other engines chose wrongly.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/catalogue/device_offers.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "plan/inventory.h"
#include "plan/plan_text.h"
#include "plan/planner.h"
#include "support/checkpoint_builder.h"
#include "support/opened_checkpoint.h"

namespace nvfp4::plan {
namespace {

using kernels::DeviceLinearOffer;
using kernels::DeviceLinearProblem;
using kernels::DeviceMoeOffer;
using kernels::MoeProblem;
using testing::HasSubstr;

Plan planned(const std::vector<std::string>& lines, std::string_view machine, const Deployment& deployment = {}) {
  std::vector<Layer> layers;
  for (const std::string& line : lines) layers.push_back(*parse_layer(line, "test"));
  auto plan = make_plan(layers, *find_machine(machine), deployment);
  EXPECT_TRUE(plan) << (plan ? "" : plan.error().to_string());
  return plan ? *plan : Plan();
}
std::string kernel_for(const std::string& line, std::string_view machine, std::uint32_t tokens) {
  const Plan plan = planned({line}, machine);
  for (const KernelRange& range : plan.layers.at(0).ranges) {
    if (range.first_tokens <= tokens && tokens <= range.last_tokens) return range.kernel;
  }
  return "none";
}
MoeProblem moe_problem() {
  MoeProblem problem;
  problem.hidden = 1024;
  problem.intermediate = 2688;
  problem.num_experts = 512;
  problem.top_k = 22;
  problem.function = kernels::ExpertFunction::kRelu2;
  return problem;
}
// Every device and every offer that takes the problem.
std::set<std::string> takers(const MoeProblem& problem, std::uint32_t tokens) {
  std::set<std::string> names;
  for (const KnownDevice& device : known_devices()) {
    for (const DeviceMoeOffer& offer : kernels::device_moe_offers()) {
      if (offer.refusal(problem, device.caps, tokens).empty())
        names.insert(fmt::format("{} {}", device.key, offer.name));
    }
  }
  return names;
}

TEST(Requirement, R02QuantisedHeadsAndEmbeddingsAreLayersLikeOthers) {
  for (const KnownDevice& device : known_devices()) {
    const Plan plan = planned({"1 lm_head linear/w4a16/n131072/k2688", "1 lm_head linear/w4a4/n131072/k2688",
                               "1 lm_head linear/w8a8/n131072/k2688", "1 embed_tokens embedding/w4a16/n131072/k2688"},
                              device.key);
    EXPECT_EQ(plan.num_unserved(), 0U) << device.key;
  }
}

// A kernel is asked with the mode that runs; there is no default that could be another one.
TEST(Requirement, R06WhatAcceptsSixteenBitsRunsThem) {
  for (const KnownDevice& device : known_devices()) {
    for (const DeviceMoeOffer& offer : kernels::device_moe_offers()) {
      MoeProblem problem = moe_problem();
      problem.activation = Activation::k16Bit;
      if (!offer.refusal(problem, device.caps, 1).empty()) continue;
      EXPECT_EQ(offer.outline(problem, device.caps, 1).problem.activation, Activation::k16Bit);
      EXPECT_EQ(offer.name.find("nvfp4_nvfp4"), std::string_view::npos) << offer.name;
    }
  }
}

TEST(Requirement, R07TheSchemeIsTheCheckpointsNotTheKernels) {
  Layer layer = *parse_layer("1 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8", "test");
  for (const bool has_input_scale : {false, true}) {
    layer.has_input_scale = has_input_scale;
    const auto plan = make_plan(std::vector{layer}, *find_machine("sm120"), {});
    EXPECT_EQ(plan->layers[0].ranges[0].kernel, "moe_nvfp4_bf16_mma");
  }
}

TEST(Requirement, R08SixteenBitActivationsFilterOutFourBitKernels) {
  for (const std::string scheme : {"w4a16", "w4a4", "w4a4-token"}) {
    for (const KnownDevice& device : known_devices()) {
      const Plan plan = planned({fmt::format("1 e moe/{}/silu/h2048/i768/e128/k8", scheme)}, device.key);
      const bool is_fp4 = plan.layers[0].ranges[0].kernel.find("nvfp4_nvfp4") != std::string::npos;
      EXPECT_EQ(is_fp4, scheme != "w4a16" && device.caps.sm >= 120) << device.key << " " << scheme;
    }
  }
}

// Four-bit activations are exact everywhere: no generation degrades them to another precision.
TEST(Requirement, R08FourBitActivationsStayFourBitOnEveryMachine) {
  std::vector<std::string> machines;
  for (const KnownDevice& device : known_devices()) machines.emplace_back(device.key);
  for (const KnownCpu& cpu : known_cpus()) machines.push_back(cpu.key);
  for (const std::string& machine : machines) {
    const Plan plan = planned({"1 a linear/w4a4/n4096/k2048"}, machine);
    EXPECT_EQ(plan.layers[0].activation, Activation::kNvfp4Static) << machine;
    EXPECT_FALSE(plan.layers[0].ranges.empty()) << machine;
  }
}

// What one layer's cut pads is its own: planning others before or behind changes nothing.
TEST(Requirement, R11PaddingIsOfALayerAndDoesNotAccumulate) {
  const std::string line = "1 mlp.experts moe/w4a4/silu/h2048/i1856/e8/k2";
  Deployment deployment;
  deployment.ranks.tensor_parallel = 8;
  const Plan plan = planned({line, line, line}, "sm90", deployment);
  for (const PlannedLayer& each : plan.layers) EXPECT_EQ(each.problem, plan.layers[0].problem);
}

// Exact numbers of tokens, not buckets that several share.
TEST(Requirement, R16ThresholdsAreExact) {
  const std::string line = "1 e moe/w4a4/silu/h2048/i768/e128/k8";
  for (const std::uint32_t tokens : {1U, 2U, 4U, 8U, 16U, 17U, 63U, 64U}) {
    EXPECT_EQ(kernel_for(line, "sm90", tokens), "moe_nvfp4_bf16_mma_bulk") << tokens;
  }
  EXPECT_EQ(kernel_for(line, "sm90", 65), "moe_nvfp4_bf16_wgmma");
}

TEST(Requirement, R17ChoiceGoesByNameNotByKinship) {
  std::set<std::string_view> names;
  for (const DeviceMoeOffer& offer : kernels::device_moe_offers()) EXPECT_TRUE(names.insert(offer.name).second);
  for (const DeviceLinearOffer& offer : kernels::device_linear_offers()) EXPECT_TRUE(names.insert(offer.name).second);
  for (const kernels::LinearKernel& kernel : kernels::linear_kernels()) EXPECT_TRUE(names.insert(kernel.name).second);
}

// The rejects of an engine's hybrid of two kernels: what it had to refuse is served here, or refused by name.
TEST(Requirement, R18ExpertParallelism) {
  MoeProblem problem = moe_problem();
  const std::set<std::string> all = takers(problem, 63);
  problem.num_experts = 64;
  problem.num_global_experts = 512;
  EXPECT_EQ(takers(problem, 63), all);
  problem.num_global_experts = 63;  // fewer than are here
  EXPECT_TRUE(takers(problem, 63).empty());
}
TEST(Requirement, R18EveryFunctionOfExperts) {
  for (const auto function : {kernels::ExpertFunction::kSilu, kernels::ExpertFunction::kGeluTanh,
                              kernels::ExpertFunction::kSwigluOai, kernels::ExpertFunction::kRelu2}) {
    MoeProblem problem = moe_problem();
    problem.function = function;
    problem.swiglu_limit = 7;
    EXPECT_EQ(takers(problem, 64), takers(moe_problem(), 64));
  }
}
TEST(Requirement, R18SharedExperts) {
  MoeProblem problem = moe_problem();
  problem.shared_intermediate = 5376;
  EXPECT_EQ(takers(problem, 8), takers(moe_problem(), 8));
  problem.shared_intermediate = 5377;
  EXPECT_TRUE(takers(problem, 8).empty());
}
TEST(Requirement, R18RouterWeightsOnInputs) {
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static}) {
    MoeProblem problem = moe_problem();
    problem.activation = activation;
    const std::set<std::string> all = takers(problem, 8);
    problem.router_weight_on_input = true;
    EXPECT_EQ(takers(problem, 8), all);
  }
}
TEST(Requirement, R18EightBitActivationsOfExperts) {
  for (const Activation activation : {Activation::kFp8Static, Activation::kFp8Dynamic}) {
    MoeProblem problem = moe_problem();
    problem.activation = activation;
    EXPECT_TRUE(takers(problem, 8).empty());
  }
}
TEST(Requirement, R18OtherGenerations) {
  for (const std::uint32_t sm : {70U, 75U, 100U, 103U, 110U}) {
    DeviceCaps caps = find_known_device("sm90")->caps;
    caps.sm = sm;
    for (const DeviceMoeOffer& offer : kernels::device_moe_offers()) {
      EXPECT_THAT(offer.refusal(moe_problem(), caps, 8), HasSubstr("only for compute capabilit")) << sm;
    }
    for (const DeviceLinearOffer& offer : kernels::device_linear_offers()) {
      DeviceLinearProblem problem;
      problem.out_features = problem.in_features = 64;
      EXPECT_NE(offer.refusal(problem, caps, 8), "") << sm;
    }
  }
}
TEST(Requirement, R18TokensAt63And64) {
  const std::string line = "1 e moe/w4a4/relu2/h1024/i2688/e512/k22";
  for (const std::uint32_t tokens : {1U, 63U, 64U})
    EXPECT_EQ(kernel_for(line, "sm90", tokens), "moe_nvfp4_bf16_mma_bulk");
  EXPECT_EQ(kernel_for(line, "sm90", 65), "moe_nvfp4_bf16_wgmma");
  for (const std::uint32_t tokens : {1U, 63U, 64U, 65U})
    EXPECT_EQ(kernel_for(line, "sm121", tokens), "moe_nvfp4_nvfp4_mma");
}

TEST(Requirement, R19AForceIsForOneKindOfLayerOnly) {
  Deployment deployment;
  deployment.forced.push_back(*parse_forced_kernel("mlp.experts=moe_nvfp4_bf16_mma"));
  const Plan plan =
      planned({"1 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8", "1 mtp.experts moe/w4a4/silu/h2048/i768/e128/k8"},
              "sm120", deployment);
  EXPECT_EQ(plan.layers[0].ranges[0].kernel, "moe_nvfp4_bf16_mma");
  EXPECT_EQ(plan.layers[1].ranges[0].kernel, "moe_nvfp4_nvfp4_mma");
}

TEST(Requirement, R20EveryDecisionIsPrintedWithItsReason) {
  const std::string text = plan_text(planned({"1 e moe/w4a4/silu/h2048/i768/e128/k8"}, "sm120"), "m");
  for (const DeviceMoeOffer& offer : kernels::device_moe_offers())
    EXPECT_THAT(text, HasSubstr(std::string(offer.name)));
}

TEST(Requirement, R21PrefillAndDecodeReadTheSameBytes) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::string line : {"1 a linear/w4a16/n4096/k2048", "1 e moe/w4a4/silu/h2048/i768/e128/k8"}) {
      const Plan plan = planned({line}, device.key);
      for (const KernelRange& range : plan.layers[0].ranges) {
        Deployment deployment;
        deployment.forced = {{plan.layers[0].layer.kind, "", range.kernel}};
        deployment.max_tokens = range.last_tokens;
        EXPECT_EQ(planned({line}, device.key, deployment).layers[0].layout, plan.layers[0].layout) << range.kernel;
      }
    }
  }
}

TEST(Requirement, R22APlanNeedsNoDevice) {
  EXPECT_FALSE(planned({"1 a linear/w4a4/n64/k64"}, "sm121").layers[0].ranges.empty());
}

TEST(Requirement, R26ShardsKeepTheirScales) {
  EXPECT_THAT(planned({"1 qkv_proj linear/w4a4/n6144/k4096/shards3"}, "sm90").layers[0].problem, HasSubstr("/shards3"));
}

TEST(Requirement, R27ParametersOfTheFunctionReachTheProblem) {
  using support::add_modelopt_nvfp4;
  support::SafetensorsText tensors;
  for (const char* name : {"gate_proj", "up_proj"}) {
    add_modelopt_nvfp4(tensors, fmt::format("model.layers.0.mlp.experts.0.{}", name), 32, 64, 1, 1);
  }
  add_modelopt_nvfp4(tensors, "model.layers.0.mlp.experts.0.down_proj", 64, 32, 1, 1);
  const support::OpenedCheckpoint checkpoint(
      tensors, R"({"model_type": "gpt_oss", "num_experts_per_tok": 1, "swiglu_limit": 7.0})");
  ASSERT_TRUE(checkpoint.ok());
  const auto inventory = layers_of(*checkpoint, "dir");
  ASSERT_TRUE(inventory) << inventory.error().to_string();
  EXPECT_EQ(inventory->layers[0].function, kernels::ExpertFunction::kSwigluOai);
  EXPECT_EQ(inventory->layers[0].swiglu_limit, 7.0F);
  const support::OpenedCheckpoint llama(tensors, R"({"model_type": "llama4_text", "num_experts_per_tok": 1})");
  ASSERT_TRUE(llama.ok());
  EXPECT_TRUE(layers_of(*llama, "dir")->layers[0].router_weight_on_input);
}

TEST(Requirement, R28ActivationsAreRoundedAlikeOnEveryRank) {
  const std::string line = "1 e moe/w4a4/silu/h2048/i768/e128/k8/ownscales";
  for (const std::uint32_t ep : {1U, 2U, 8U}) {
    Deployment deployment;
    deployment.ranks.expert_parallel = ep;
    const Plan plan = planned({line}, "sm90", deployment);
    EXPECT_EQ(plan.layers[0].activation, Activation::kNvfp4Static);
    EXPECT_THAT(plan.layers[0].problem, HasSubstr("/ownscales"));
  }
}

// Mixed precision, routed by tensor: experts in 4 bits, attention in 8, the rest plain.
TEST(MixedPrecision, EachLayerGoesItsOwnWay) {
  const Plan plan =
      planned({"10 self_attn.q_proj linear/w8a8/n8192/k2048", "40 mlp.experts moe/w4a16/silu/h2048/i512/e256/k8",
               "40 mlp.gate linear/bf16/n256/k2048", "1 lm_head linear/w4a16/n248320/k2048"},
              "sm120");
  std::vector<std::string> kernels;
  for (const PlannedLayer& line : plan.layers) kernels.push_back(line.ranges.at(0).kernel);
  EXPECT_THAT(kernels, testing::ElementsAre("linear_fp8_bf16_mma", "moe_nvfp4_bf16_mma", "linear_bf16_mma",
                                            "linear_nvfp4_bf16_mma"));
}
TEST(MixedPrecision, ARequestForFourBitsDoesNotReachEightBitLayers) {
  Deployment deployment;
  deployment.activations = ActivationRequest::kW4A4;
  const Plan plan = planned({"10 self_attn.q_proj linear/w8a8/n8192/k2048"}, "sm120", deployment);
  EXPECT_EQ(plan.layers[0].ranges[0].kernel, "linear_fp8_bf16_mma");
  EXPECT_EQ(plan.layers[0].activation, Activation::kFp8Static);
}
TEST(MixedPrecision, TheSameKindInTwoSchemesIsTwoLines) {
  const Plan plan =
      planned({"17 mixer.in_proj linear/w4a4/n10304/k2688", "6 mixer.in_proj linear/bf16/n10304/k2688"}, "sm90");
  EXPECT_EQ(plan.layers[0].layout, "fragment_16x64");
  EXPECT_EQ(plan.layers[1].layout, "row_major");
}

}  // namespace
}  // namespace nvfp4::plan
