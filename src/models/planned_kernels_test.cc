#include "models/planned_kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nvfp4::models {
namespace {

using testing::HasSubstr;

PlannedKernels planned(std::initializer_list<std::string_view> lines, const plan::Deployment& deployment = {}) {
  std::vector<plan::Layer> layers;
  for (const std::string_view line : lines) layers.push_back(*plan::parse_layer(line, "test"));
  auto plan = plan::make_plan(layers, *plan::find_machine("cpu-avx2"), deployment);
  EXPECT_TRUE(plan);
  return PlannedKernels(std::move(plan).value());
}

// Of [64, 128] W4A16.
prepare::PreparedWeight weight(const std::string& name, bool odd_scales = false) {
  prepare::PreparedWeight weight;
  weight.name = name;
  weight.format = kernels::WeightFormat::kNvfp4;
  weight.out_features = 64;
  weight.in_features = 128;
  weight.block_size = 16;
  weight.odd_scales = odd_scales;
  return weight;
}

std::vector<std::string> names(const Result<std::vector<layers::ServingKernel>>& kernels) {
  std::vector<std::string> out;
  if (!kernels) return {kernels.error().to_string()};
  for (const layers::ServingKernel& serving : *kernels) out.emplace_back(serving.kernel->name);
  return out;
}

TEST(PlannedKernels, AreThoseOfTheLayersKindAndProblem) {
  PlannedKernels kernels = planned({"2 mlp.up_proj linear/w4a16/n64/k128", "1 mlp.up_proj linear/bf16/n64/k128"});
  EXPECT_THAT(names(kernels.kernels_of(weight("model.layers.1.mlp.up_proj"))),
              testing::ElementsAre("linear_nvfp4_f32_avx2"));
  prepare::PreparedWeight plain = weight("model.layers.2.mlp.up_proj");
  plain.format = kernels::WeightFormat::kBF16;
  plain.block_size = 0;
  EXPECT_THAT(names(kernels.kernels_of(plain)), testing::ElementsAre("linear_bf16_f32_avx2"));
}

TEST(PlannedKernels, WhatIsNotPlannedIsAnError) {
  PlannedKernels kernels = planned({"2 mlp.up_proj linear/w4a16/n64/k256"});
  EXPECT_THAT(names(kernels.kernels_of(weight("model.layers.1.mlp.up_proj")))[0], HasSubstr("not in the model's plan"));
  EXPECT_THAT(names(kernels.kernels_of(weight("model.layers.1.mlp.down_proj")))[0], HasSubstr("mlp.down_proj"));
}

// Tiles cannot hold a negative scale: such weights have a kernel, and a line, of their own.
TEST(PlannedKernels, OddScalesBecomeALine) {
  PlannedKernels kernels = planned({"3 mlp.up_proj linear/w4a16/n64/k128", "1 mlp.gate linear/bf16/n8/k128"});
  const std::uint64_t bytes_before = PlannedKernels(kernels).take().weight_bytes;
  EXPECT_THAT(names(kernels.kernels_of(weight("model.layers.0.mlp.up_proj"))),
              testing::ElementsAre("linear_nvfp4_f32_avx2"));
  for (const char* name : {"model.layers.1.mlp.up_proj", "model.layers.2.mlp.up_proj"}) {
    EXPECT_THAT(names(kernels.kernels_of(weight(name, true))), testing::ElementsAre("linear_nvfp4_f32_loops"));
  }
  const plan::Plan plan = kernels.take();
  ASSERT_EQ(plan.layers.size(), 3U);
  EXPECT_EQ(plan::layer_text(plan.layers[0].layer), "1 mlp.up_proj linear/w4a16/n64/k128");
  EXPECT_EQ(plan::layer_text(plan.layers[1].layer), "2 mlp.up_proj linear/w4a16/n64/k128/odd");
  EXPECT_EQ(plan.layers[1].ranges[0].kernel, "linear_nvfp4_f32_loops");
  EXPECT_EQ(plan.layers[1].layout, "row_major");
  EXPECT_EQ(plan.weight_bytes, bytes_before);  // both layouts have the same size
}

TEST(PlannedKernels, ALineThatAllLeftIsGone) {
  PlannedKernels kernels = planned({"1 mlp.up_proj linear/w4a16/n64/k128"});
  (void)kernels.kernels_of(weight("model.layers.0.mlp.up_proj", true));
  const plan::Plan plan = kernels.take();
  ASSERT_EQ(plan.layers.size(), 1U);
  EXPECT_TRUE(plan.layers[0].layer.odd_scales);
}

TEST(PlannedKernels, AnEmbeddingIsMultipliedWithWhereItIsTheHead) {
  PlannedKernels tied = planned({"1 embed_tokens embedding/w4a16/n64/k128", "1 lm_head linear/w4a16/n64/k128/tied"});
  EXPECT_THAT(names(tied.kernels_of(weight("model.embed_tokens"))), testing::ElementsAre("linear_nvfp4_f32_avx2"));
  PlannedKernels untied = planned({"1 embed_tokens embedding/w4a16/n64/k128", "1 lm_head linear/w4a16/n64/k128"});
  EXPECT_THAT(names(untied.kernels_of(weight("model.embed_tokens"))), testing::IsEmpty());
}

// A table's tokens are rows of a layer; each token is top_k rows of experts.
TEST(PlannedKernels, RangesOfTokensBecomeRangesOfRows) {
  plan::MeasuredTable table;
  for (const char* problem : {"linear/w4a16/n64/k128", "moe/w4a16/silu/h128/i64/e8/k3 up_proj"}) {
    table.problems.push_back({problem,
                              {{4, {{"linear_nvfp4_f32_avx2", 1}, {"linear_nvfp4_f32_avx512", 2}}},
                               {8, {{"linear_nvfp4_f32_avx2", 2}, {"linear_nvfp4_f32_avx512", 1}}}}});
  }
  plan::Deployment deployment;
  deployment.table = std::make_shared<plan::MeasuredTable>(std::move(table));
  const std::vector<plan::Layer> layers = {*plan::parse_layer("1 mlp.up_proj linear/w4a16/n64/k128", "test"),
                                           *plan::parse_layer("1 mlp.experts moe/w4a16/silu/h128/i64/e8/k3", "test")};
  auto plan = plan::make_plan(layers, *plan::find_machine("cpu-avx512"), deployment);
  ASSERT_TRUE(plan);
  PlannedKernels kernels(std::move(plan).value());
  const auto ends = [&](const prepare::PreparedWeight& of) {
    std::vector<std::uint32_t> rows;
    const auto serving_kernels = kernels.kernels_of(of);
    EXPECT_TRUE(serving_kernels);
    for (const layers::ServingKernel& serving : *serving_kernels) rows.push_back(serving.last_rows);
    return rows;
  };
  prepare::PreparedWeight experts = weight("model.layers.0.mlp.experts.gate_proj");
  experts.num_experts = 8;
  EXPECT_THAT(ends(weight("model.layers.0.mlp.up_proj")), testing::ElementsAre(4, layers::ServingKernel::kAllRows));
  EXPECT_THAT(ends(experts), testing::ElementsAre(12, layers::ServingKernel::kAllRows));
}

TEST(PlannedKernels, NoneServesWhatAllRefuse) {
  plan::Deployment deployment;
  for (const char* name : {"linear_nvfp4_f32_avx2", "linear_nvfp4_f32_loops"}) {
    deployment.refused.push_back({name, "computed a wrong answer here"});
  }
  PlannedKernels kernels = planned({"1 mlp.up_proj linear/w4a16/n64/k128"}, deployment);
  EXPECT_THAT(names(kernels.kernels_of(weight("model.layers.0.mlp.up_proj")))[0],
              testing::AllOf(HasSubstr("model.layers.0.mlp.up_proj: no kernel serves nvfp4 weights [64, 128]"),
                             HasSubstr("linear_nvfp4_f32_avx2: computed a wrong answer here")));
}

}  // namespace
}  // namespace nvfp4::models
