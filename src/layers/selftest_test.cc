#include "layers/selftest.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::layers {
namespace {

using kernels::LinearKernel;
using kernels::LinearProblem;
using kernels::WeightFormat;

LinearProblem nvfp4(Activation activation, std::uint32_t num_experts = 1) {
  LinearProblem problem;
  problem.weight = WeightFormat::kNvfp4;
  problem.activation = activation;
  problem.out_features = 96;
  problem.in_features = 320;
  problem.num_experts = num_experts;
  problem.block_size = 16;
  return problem;
}

TEST(Selftest, EveryKernelThatRunsHerePasses) {
  WorkerPool pool(2);
  std::size_t num_tested = 0;
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    for (const WeightFormat weight :
         {WeightFormat::kNvfp4, WeightFormat::kFp8, WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kF32}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic,
                                          Activation::kFp8Static, Activation::kFp8Dynamic}) {
        LinearProblem problem = nvfp4(activation, 3);
        problem.weight = weight;
        if (weight != WeightFormat::kNvfp4) problem.block_size = 0;
        if (!linear_kernel_refusal(kernel, problem, best_instruction_set()).empty()) continue;
        const auto error = selftest(kernel, problem, pool);
        ASSERT_TRUE(error) << error.error().to_string();
        EXPECT_LT(*error, kSelftestTolerance) << kernel.name << " " << activation_name(activation);
        ++num_tested;
      }
    }
  }
  EXPECT_GT(num_tested, 8U);
}

// A kernel that does nothing, and ones that are nearly right.
template <class Spoil>
double error_of_spoilt(const LinearProblem& problem, Spoil /*spoil*/) {
  static const LinearKernel* right = nullptr;
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    if (linear_kernel_refusal(kernel, problem, InstructionSet::kPortable).empty()) right = &kernel;
  }
  LinearKernel wrong = *right;
  wrong.run = [](const kernels::LinearWeight& weight, Activation activation, const kernels::LinearArgs& args,
                 Workspace& workspace, WorkerPool& pool) {
    right->run(weight, activation, args, workspace, pool);
    Spoil()(weight, args);
  };
  WorkerPool pool(1);
  const auto error = selftest(wrong, problem, pool);
  EXPECT_TRUE(error);
  return error ? *error : 0;
}

TEST(Selftest, FindsAKernelThatIsWrong) {
  const LinearProblem problem = nvfp4(Activation::kNvfp4Static);
  const auto nothing = [](const kernels::LinearWeight&, const kernels::LinearArgs&) {};
  EXPECT_LT(error_of_spoilt(problem, nothing), kSelftestTolerance);
  const auto one_value = [](const kernels::LinearWeight&, const kernels::LinearArgs& args) { args.y[0] *= 1.01F; };
  EXPECT_GT(error_of_spoilt(problem, one_value), kSelftestTolerance);
  const auto last_row = [](const kernels::LinearWeight& weight, const kernels::LinearArgs& args) {
    args.y[args.num_rows * weight.out_features - 1] = 0;
  };
  EXPECT_GT(error_of_spoilt(problem, last_row), kSelftestTolerance);
  const auto not_a_number = [](const kernels::LinearWeight&, const kernels::LinearArgs& args) {
    args.y[1] = std::numeric_limits<float>::quiet_NaN();
  };
  EXPECT_EQ(error_of_spoilt(problem, not_a_number), std::numeric_limits<double>::infinity());
}

TEST(Selftest, FindsActivationsOfAnotherPrecision) {
  LinearKernel wrong;
  for (const LinearKernel& kernel : kernels::linear_kernels()) {
    if (linear_kernel_refusal(kernel, nvfp4(Activation::kNvfp4Static), InstructionSet::kPortable).empty())
      wrong = kernel;
  }
  static auto* const run = wrong.run;
  wrong.run = [](const kernels::LinearWeight& weight, Activation, const kernels::LinearArgs& args, Workspace& workspace,
                 WorkerPool& pool) { run(weight, Activation::k16Bit, args, workspace, pool); };
  wrong.workspace_bytes = [](const LinearProblem&, std::uint32_t, std::size_t) { return std::size_t{1} << 24U; };
  WorkerPool pool(1);
  const auto error = selftest(wrong, nvfp4(Activation::kNvfp4Static), pool);
  ASSERT_TRUE(error);
  EXPECT_GT(*error, kSelftestTolerance);
}

}  // namespace
}  // namespace nvfp4::layers
