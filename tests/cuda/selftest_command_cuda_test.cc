// `nvfp4 selftest --device cuda` where there is a device: what the catalogue and a plan have there passes; what is
// wrong does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "device/device.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "kernels/catalogue/device_catalogue.h"
#include "layers/tested_device_plan.h"
#include "support/nvfp4_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceLinearKernel;
using kernels::DeviceMoeKernel;
using support::json_of;
using support::run_nvfp4;
using testing::HasSubstr;

constexpr std::uint32_t kTokens = 40;

const char* const kLayers =
    "1 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8\n"
    "1 mixer.experts moe/w4a4/relu2/h1024/i336/e32/k4\n"
    "1 block.experts moe/w4a4-token/swigluoai/h512/i256/e16/k4/ownscales\n"
    "1 self_attn.q_proj linear/w4a4/n4096/k2048\n"
    "1 self_attn.k_proj linear/w4a4/n512/k2048\n"
    "1 self_attn.v_proj linear/w4a4/n512/k2048\n"
    "1 self_attn.qkv_proj linear/w4a16/n5120/k2048/shards3/bias\n"
    "1 mlp.down_proj linear/w4a16/n2048/k6144/awq\n"
    "1 self_attn.o_proj linear/w8a8-token/n2048/k4096/rows\n"
    "1 lm_head linear/bf16/n32768/k2048\n";

TEST(SelftestOnDevice, EveryKernelOfTheCataloguePasses) {
  const DeviceCaps caps = Device::open(0).value().caps();
  const nlohmann::json all = json_of(run_nvfp4({"selftest", "--device", "cuda", "--json"}));
  std::set<std::string> tested;
  for (const auto& test : all["tests"]) {
    EXPECT_TRUE(test["passed"]) << test.dump();
    EXPECT_LE(test["relative_error"], test["tolerance"]) << test.dump();
    tested.insert(test["kernel"]);
  }
  kernels::DeviceLinearProblem linear;
  linear.out_features = linear.in_features = 1024;
  for (const DeviceLinearKernel& kernel : kernels::device_linear_kernels()) {
    bool is_served = false;
    for (const auto weight :
         {kernels::WeightFormat::kNvfp4, kernels::WeightFormat::kFp8, kernels::WeightFormat::kBF16}) {
      for (const auto activation : {Activation::k16Bit, Activation::kNvfp4Static}) {
        linear.weight = weight;
        linear.activation = activation;
        is_served = is_served || kernel.refusal(linear, caps, 1).empty();
      }
    }
    EXPECT_EQ(tested.contains(std::string(kernel.name)), is_served) << kernel.name;
  }
  EXPECT_TRUE(std::ranges::any_of(tested, [](const std::string& name) { return name.starts_with("moe_"); }));
}

TEST(SelftestOnDevice, EveryKernelOfAPlanPasses) {
  support::TemporaryDirectory folder;
  folder.write("a.layers", kLayers);
  const std::string layers = (folder.path() / "a.layers").string();
  const nlohmann::json said = json_of(run_nvfp4({"selftest", "--layers", layers, "--device", "cuda", "--json"}));
  EXPECT_TRUE(said["refusals"].empty());
  std::set<std::string> kinds;
  for (const auto& test : said["tests"]) {
    EXPECT_TRUE(test["passed"]) << test.dump();
    EXPECT_FALSE(test["num_tokens"].empty()) << test.dump();
    for (const std::string kind : test["layer_kinds"]) kinds.insert(kind);
    EXPECT_EQ(std::ranges::count(test["layer_kinds"], "self_attn.k_proj"),
              std::ranges::count(test["layer_kinds"], "self_attn.v_proj"))
        << "layers of one problem share a test";
  }
  EXPECT_EQ(kinds.size(), 10U);
}

// --- a kernel that is a little wrong

class WrongKernel : public testing::Test {
 protected:
  kernels::DeviceLinearProblem linear_problem() {
    kernels::DeviceLinearProblem problem;
    problem.activation = Activation::kNvfp4Static;
    problem.out_features = 4096;
    problem.in_features = 2048;
    return problem;
  }
  kernels::MoeProblem moe_problem() {
    kernels::MoeProblem problem;
    problem.hidden = 1024;
    problem.intermediate = 512;
    problem.num_experts = 16;
    problem.top_k = 4;
    return problem;
  }
  template <class Kernel, class Problem>
  layers::DeviceAnswer answer(const Kernel& kernel, const Problem& problem) {
    const auto answer = layers::selftest(kernel, problem, {kTokens, kTokens}, there_);
    EXPECT_TRUE(answer) << answer.error().to_string();
    return *answer;
  }

  Device device_ = Device::open(0).value();
  Stream stream_ = Stream::create().value();
  WorkerPool pool_{4};
  layers::TestDevice there_{device_.caps(), stream_.get(), pool_};
};

const DeviceLinearKernel& right_linear() {
  return *std::ranges::find(kernels::device_linear_kernels(), "linear_nvfp4_bf16_mma",
                            [](const auto& k) { return k.name; });
}
const DeviceMoeKernel& right_moe() {
  return *std::ranges::find(kernels::device_moe_kernels(), "moe_nvfp4_bf16_mma", [](const auto& k) { return k.name; });
}

TEST_F(WrongKernel, TheRightOnesPass) {
  const auto linear = answer(right_linear(), linear_problem());
  EXPECT_TRUE(linear.is_right()) << linear.error << " " << linear.tolerance;
  const auto moe = answer(right_moe(), moe_problem());
  EXPECT_TRUE(moe.is_right()) << moe.error << " " << moe.tolerance;
}

TEST_F(WrongKernel, OneNumberOfTheLastTokenIsFound) {
  DeviceLinearKernel wrong = right_linear();
  wrong.run = [](const kernels::DeviceLinearPlan& plan, const kernels::DeviceLinearWeight& weight,
                 const kernels::DeviceLinearArgs& args, const kernels::DeviceWorkspace& workspace,
                 DeviceStream stream) -> Status {
    NVFP4_RETURN_IF_ERROR(right_linear().run(plan, weight, args, workspace, stream));
    auto* const y = static_cast<Bf16Bits*>(args.y);
    return runtime::fill(y + std::size_t{kTokens} * 4096 - 1, 0x3F, sizeof(Bf16Bits), stream);
  };
  const auto found = answer(wrong, linear_problem());
  EXPECT_FALSE(found.is_right()) << found.error << " " << found.tolerance;
}

TEST_F(WrongKernel, WhatIsNotWrittenIsFoundAnywhere) {
  DeviceMoeKernel wrong = right_moe();
  wrong.run = [](const kernels::DeviceMoePlan& plan, const kernels::DeviceMoeWeights& weights,
                 const kernels::DeviceMoeArgs& args, const kernels::DeviceWorkspace& workspace,
                 DeviceStream stream) -> Status {
    kernels::DeviceMoeArgs fewer = args;
    fewer.num_tokens -= 2;
    NVFP4_RETURN_IF_ERROR(right_moe().run(plan, weights, fewer, workspace, stream));
    const std::size_t last = std::size_t{args.num_tokens - 1} * plan.problem.hidden;
    return runtime::fill(args.y + last, 0, plan.problem.hidden * sizeof(Bf16Bits), stream);
  };
  EXPECT_EQ(answer(wrong, moe_problem()).error, std::numeric_limits<double>::infinity());
}

TEST_F(WrongKernel, AScaleThatIsLeftOutIsFound) {
  DeviceMoeKernel wrong = right_moe();
  wrong.run = [](const kernels::DeviceMoePlan& plan, const kernels::DeviceMoeWeights& weights,
                 const kernels::DeviceMoeArgs& args, const kernels::DeviceWorkspace& workspace, DeviceStream stream) {
    kernels::DeviceMoeWeights other = weights;
    other.experts.gate_scale2 = weights.experts.up_scale2;
    return right_moe().run(plan, other, args, workspace, stream);
  };
  EXPECT_FALSE(answer(wrong, moe_problem()).is_right());
}

TEST_F(WrongKernel, ActivationsOfAnotherPrecisionAreFound) {
  DeviceLinearKernel wrong = right_linear();
  wrong.plan = [](const kernels::DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
    kernels::DeviceLinearProblem other = problem;
    other.activation = Activation::k16Bit;
    return right_linear().plan(other, caps, max_tokens);
  };
  EXPECT_FALSE(answer(wrong, linear_problem()).is_right());
}

}  // namespace
}  // namespace nvfp4
