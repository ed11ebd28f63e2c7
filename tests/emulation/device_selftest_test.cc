// The self-test of GPU kernels, on kernels that run here: those that are right pass, those that are a little wrong do
// not.
#include "layers/device_selftest.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "device/device.h"
#include "device/stream.h"
#include "emulation/emulated_device.h"
#include "kernels/catalogue/device_catalogue.h"
#include "kernels/cuda_shared/block_scaled_pack.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "kernels/cuda_shared/random_fill.h"
#include "kernels/cuda_sm120/linear_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm120/moe_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm80/linear_nvfp4_bf16_mma.h"
#include "kernels/cuda_sm80/linear_rows.h"
#include "kernels/cuda_sm80/moe_nvfp4_bf16_mma.h"

namespace nvfp4::kernels {

// Of the emulated device; the catalogue's own are for real ones.
const DeviceRandom* device_random() { return &cuda_random(); }
const FragmentPacker* device_packer(DeviceWeightLayout layout) {
  return layout == DeviceWeightLayout::kBlockScaled16x64 ? &cuda_block_scaled_packer() : &cuda_fragment_packer();
}

}  // namespace nvfp4::kernels

namespace nvfp4::layers {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceLinearKernel;
using kernels::DeviceLinearProblem;
using kernels::DeviceMoeKernel;
using kernels::MoeProblem;
using kernels::WeightFormat;

constexpr std::uint32_t kTokens = 11;
constexpr std::uint32_t kRows = 200;

DeviceLinearProblem linear(Activation activation = Activation::k16Bit, WeightFormat weight = WeightFormat::kNvfp4) {
  DeviceLinearProblem problem;
  problem.weight = weight;
  problem.activation = activation;
  problem.out_features = kRows;
  problem.in_features = 208;
  return problem;
}
MoeProblem moe(Activation activation = Activation::k16Bit,
               kernels::ExpertFunction function = kernels::ExpertFunction::kSilu) {
  MoeProblem problem;
  problem.activation = activation;
  problem.function = function;
  problem.hidden = 112;
  problem.intermediate = 80;
  problem.num_experts = 6;
  problem.top_k = 3;
  return problem;
}

// Until it goes.
class LikeSm120 {
 public:
  LikeSm120() { emulation::emulated_device() = emulation::device_like_sm120(); }
  ~LikeSm120() { emulation::emulated_device() = before_; }
  LikeSm120(const LikeSm120&) = delete;
  LikeSm120& operator=(const LikeSm120&) = delete;

 private:
  DeviceCaps before_ = emulation::emulated_device();
};

class DeviceSelftest : public testing::Test {
 protected:
  template <class Kernel, class Problem>
  DeviceAnswer answer(const Kernel& kernel, const Problem& problem) {
    EXPECT_EQ(kernel.refusal(problem, device_.caps(), kTokens), "");
    const auto answer = selftest(kernel, problem, {kTokens + 1, kTokens}, there_);
    EXPECT_TRUE(answer) << answer.error().to_string();
    return answer ? *answer : DeviceAnswer{};
  }
  template <class Kernel, class Problem>
  void expect_right(const Kernel& kernel, const Problem& problem) {
    const DeviceAnswer found = answer(kernel, problem);
    EXPECT_TRUE(found.is_right()) << kernel.name << " " << activation_name(problem.activation) << ": " << found.error
                                  << ", allowed " << found.tolerance;
  }
  template <class Kernel, class Problem>
  void expect_wrong(const Kernel& kernel, const Problem& problem) {
    const DeviceAnswer found = answer(kernel, problem);
    EXPECT_FALSE(found.is_right()) << found.error << ", allowed " << found.tolerance;
  }

  LikeSm120 emulated_;
  Device device_ = Device::open(0).value();
  Stream stream_ = Stream::create().value();
  WorkerPool pool_{1};
  TestDevice there_{device_.caps(), stream_.get(), pool_};
};

TEST_F(DeviceSelftest, LinearKernelsPass) {
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    DeviceLinearProblem problem = linear(activation);
    problem.num_shards = 3;
    problem.has_bias = true;
    problem.input_rule = QuantizerRule::kCompressedTensors;
    expect_right(kernels::cuda_sm80::linear_nvfp4_bf16_mma(), problem);
    if (activation != Activation::k16Bit) expect_right(kernels::cuda_sm120::linear_nvfp4_nvfp4_mma(), problem);
    problem.has_pre_quant_scale = true;
    expect_right(kernels::cuda_sm80::linear_nvfp4_bf16_mma(), problem);
  }
  expect_right(kernels::cuda_sm80::linear_bf16_mma(), linear(Activation::k16Bit, WeightFormat::kBF16));
  for (const Activation activation : {Activation::k16Bit, Activation::kFp8Static, Activation::kFp8Dynamic}) {
    DeviceLinearProblem problem = linear(activation, WeightFormat::kFp8);
    expect_right(kernels::cuda_sm80::linear_fp8_bf16_mma(), problem);
    problem.per_row_scale = true;
    expect_right(kernels::cuda_sm80::linear_fp8_bf16_mma(), problem);
  }
}

TEST_F(DeviceSelftest, KernelsOfExpertsPass) {
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const auto function : {kernels::ExpertFunction::kSilu, kernels::ExpertFunction::kRelu2}) {
      MoeProblem problem = moe(activation, function);
      expect_right(kernels::cuda_sm80::moe_nvfp4_bf16_mma(), problem);
      problem.num_global_experts = 9;
      problem.one_fc1_input_scale = true;
      expect_right(kernels::cuda_sm80::moe_nvfp4_bf16_mma(), problem);
      if (activation != Activation::k16Bit) expect_right(kernels::cuda_sm120::moe_nvfp4_nvfp4_mma(), problem);
    }
  }
}

TEST_F(DeviceSelftest, FindsOneWrongNumber) {
  DeviceLinearKernel wrong = kernels::cuda_sm80::linear_nvfp4_bf16_mma();
  wrong.run = [](const kernels::DeviceLinearPlan& plan, const kernels::DeviceLinearWeight& weight,
                 const kernels::DeviceLinearArgs& args, const kernels::DeviceWorkspace& workspace,
                 DeviceStream stream) -> Status {
    NVFP4_RETURN_IF_ERROR(kernels::cuda_sm80::linear_nvfp4_bf16_mma().run(plan, weight, args, workspace, stream));
    auto* const y = static_cast<Bf16Bits*>(args.y);
    return runtime::fill(y + std::size_t{kTokens} * kRows - 1, 0x3E, sizeof(Bf16Bits), stream);
  };
  expect_wrong(wrong, linear(Activation::kNvfp4Static));
}

TEST_F(DeviceSelftest, FindsWhatIsNotWritten) {
  DeviceMoeKernel wrong = kernels::cuda_sm80::moe_nvfp4_bf16_mma();
  wrong.run = [](const kernels::DeviceMoePlan& plan, const kernels::DeviceMoeWeights& weights,
                 const kernels::DeviceMoeArgs& args, const kernels::DeviceWorkspace& workspace, DeviceStream stream) {
    kernels::DeviceMoeArgs fewer = args;
    --fewer.num_tokens;
    return kernels::cuda_sm80::moe_nvfp4_bf16_mma().run(plan, weights, fewer, workspace, stream);
  };
  EXPECT_EQ(answer(wrong, moe()).error, std::numeric_limits<double>::infinity());
}

TEST_F(DeviceSelftest, FindsAScaleOfAnother) {
  DeviceMoeKernel wrong = kernels::cuda_sm80::moe_nvfp4_bf16_mma();
  wrong.run = [](const kernels::DeviceMoePlan& plan, const kernels::DeviceMoeWeights& weights,
                 const kernels::DeviceMoeArgs& args, const kernels::DeviceWorkspace& workspace, DeviceStream stream) {
    kernels::DeviceMoeWeights other = weights;
    other.experts.gate_scale2 = weights.experts.up_scale2;
    return kernels::cuda_sm80::moe_nvfp4_bf16_mma().run(plan, other, args, workspace, stream);
  };
  expect_wrong(wrong, moe());
  expect_wrong(wrong, moe(Activation::kNvfp4Static));
}

TEST_F(DeviceSelftest, FindsActivationsOfAnotherPrecision) {
  DeviceLinearKernel wrong = kernels::cuda_sm80::linear_nvfp4_bf16_mma();
  wrong.plan = [](const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
    DeviceLinearProblem other = problem;
    other.activation = Activation::k16Bit;
    return kernels::cuda_sm80::linear_nvfp4_bf16_mma().plan(other, caps, max_tokens);
  };
  expect_wrong(wrong, linear(Activation::kNvfp4Static));
}

}  // namespace
}  // namespace nvfp4::layers
