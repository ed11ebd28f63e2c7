#include "kernels/catalogue/linear_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nvfp4::kernels {
namespace {

using testing::HasSubstr;
using testing::Not;

LinearProblem nvfp4_problem(Activation activation, std::uint64_t in_features, std::uint32_t block_size = 16) {
  return {WeightFormat::kNvfp4, activation, 32, in_features, 1, block_size};
}

TEST(LinearCatalogue, NamesAreUniqueAndSayWeightAndInput) {
  std::set<std::string_view> names;
  for (const LinearKernel& kernel : linear_kernels()) {
    EXPECT_TRUE(names.insert(kernel.name).second) << kernel.name;
    EXPECT_TRUE(kernel.name.starts_with("linear_")) << kernel.name;
  }
}

TEST(LinearCatalogue, TheFirstKernelThatAcceptsServes) {
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    const LinearProblem problem = nvfp4_problem(activation, 64);
    const auto choice = choose_linear(problem, best_instruction_set(), "layer");
    ASSERT_TRUE(choice);
    for (const LinearKernel& kernel : linear_kernels()) {
      if (&kernel == choice->kernel) break;
      if (kernel.needs > best_instruction_set()) continue;
      EXPECT_FALSE(kernel.refusal(problem).empty()) << kernel.name;
    }
    EXPECT_EQ(choice->kernel->refusal(problem), "");
    EXPECT_THAT(choice->reason, HasSubstr("nvfp4"));
  }
}

// A scheme that a kernel accepts is the scheme that it runs: no kernel takes two kinds of weights.
TEST(LinearCatalogue, AKernelServesOneFormatOfWeights) {
  for (const LinearKernel& kernel : linear_kernels()) {
    int num_formats = 0;
    for (const auto format :
         {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16, WeightFormat::kFp8, WeightFormat::kNvfp4}) {
      num_formats += kernel.refusal({format, Activation::k16Bit, 32, 64, 1, 16}).empty() ||
                     kernel.refusal({format, Activation::kNvfp4Static, 32, 64, 1, 16}).empty() ||
                     kernel.refusal({format, Activation::kFp8Static, 32, 64, 1, 16}).empty();
    }
    EXPECT_EQ(num_formats, 1) << kernel.name;
  }
}

void expect_error_with_all_refusals(const LinearProblem& problem, const std::string& words) {
  const auto choice = choose_linear(problem, InstructionSet::kAvx512Bf16, "model.layers.3.mlp.up_proj");
  ASSERT_FALSE(choice) << choice->kernel->name;
  EXPECT_EQ(choice.error().code, ErrorCode::kUnsupported);
  const std::string text = choice.error().to_string();
  EXPECT_THAT(text, HasSubstr("model.layers.3.mlp.up_proj"));
  EXPECT_THAT(text, HasSubstr(words));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  for (const LinearKernel& kernel : linear_kernels()) {
    EXPECT_THAT(text, HasSubstr(std::string(kernel.name) + ": " + kernel.refusal(problem)));
  }
}

TEST(LinearCatalogue, WhatNoKernelServesIsAnErrorWithAllRefusals) {
  expect_error_with_all_refusals(nvfp4_problem(Activation::kNvfp4Static, 40, 8), "not a multiple of 16");
  expect_error_with_all_refusals(nvfp4_problem(Activation::kNvfp4Dynamic, 8, 8), "not a multiple of 16");
  expect_error_with_all_refusals(nvfp4_problem(Activation::k16Bit, 48, 32), "not a multiple of the block size 32");
  expect_error_with_all_refusals(nvfp4_problem(Activation::k16Bit, 48, 0), "block size 0");
  expect_error_with_all_refusals(nvfp4_problem(Activation::kFp8Static, 64), "activations are");
  expect_error_with_all_refusals({WeightFormat::kBF16, Activation::kNvfp4Static, 32, 64, 1, 0},
                                 "bf16 weights [32, 64]");
  expect_error_with_all_refusals({WeightFormat::kFp8, Activation::kNvfp4Dynamic, 32, 64, 1, 0}, "fp8 weights");
}

}  // namespace
}  // namespace nvfp4::kernels
