// The kernel for few tokens against the float64 reference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/reference/linear.h"
#include "layouts/fragment_16x64.h"
#include "support/gpu_array.h"
#include "support/random_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuArray;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;

class GpuLinear {
 public:
  GpuLinear(const GpuQueue& queue, const RandomLinear& linear)
      : queue_(queue),
        linear_(linear),
        caps_(GpuQueue::must(Device::open(0)).caps()),
        packed_(queue, Fragment16x64::num_bytes(linear.spec.out_features, linear.spec.in_features)),
        bias_(queue, linear.bias),
        pre_quant_scale_(queue, linear.pre_quant_scale) {
    const std::span codes(reinterpret_cast<const std::uint8_t*>(linear.elements.data()), linear.elements.size());
    const GpuArray<std::uint8_t> codes_there(queue, codes), scales_there(queue, linear.block_scales);
    const FragmentPieces pieces{1, linear.spec.out_features, linear.spec.in_features, linear.spec.block_size, false};
    queue.expect_ok(cuda_fragment_packer().pack(pieces, {codes_there.data(), scales_there.data()}, {}, packed_.data(),
                                                queue.get()));
    queue.expect_ok(runtime::synchronize(queue.get()));
  }

  template <class Number>
  [[nodiscard]] std::vector<Number> run(const std::vector<Bf16Bits>& x, std::uint32_t num_tokens,
                                        bool batch_invariant = false) const {
    const DeviceLinearKernel& kernel = linear_nvfp4_bf16_mma();
    DeviceLinearProblem problem = problem_of();
    problem.output = sizeof(Number) == 4 ? DeviceOutput::kF32 : DeviceOutput::kBF16;
    problem.batch_invariant = batch_invariant;
    EXPECT_EQ(kernel.refusal(problem, caps_, num_tokens), "");
    const auto plan = GpuQueue::must(kernel.plan(problem, caps_, num_tokens));
    const GpuArray<std::byte> workspace(queue_, plan.sizes.workspace_bytes);
    const GpuArray<Bf16Bits> x_there(queue_, x);
    const GpuArray<Number> y(queue_, std::size_t{num_tokens} * linear_.spec.out_features);
    DeviceLinearWeight weight;
    weight.elements = packed_.data();
    weight.shards.count = static_cast<std::uint32_t>(linear_.shard_rows.size());
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < linear_.shard_rows.size(); ++i) {
      end += static_cast<std::uint32_t>(linear_.shard_rows[i]);
      weight.shards.end_rows[i] = end;
      weight.shards.scale2[i] = linear_.scale2[i];
    }
    if (!linear_.input_scale.empty()) weight.input_scale = linear_.input_scale[0];
    weight.bias = linear_.bias.empty() ? nullptr : bias_.data();
    weight.pre_quant_scale = linear_.pre_quant_scale.empty() ? nullptr : pre_quant_scale_.data();
    const DeviceWorkspace space{workspace.data(), plan.sizes.workspace_bytes};
    queue_.expect_ok(kernel.run(plan, weight, {num_tokens, x_there.data(), y.data()}, space, queue_.get()));
    return y.host();
  }

 private:
  [[nodiscard]] DeviceLinearProblem problem_of() const {
    DeviceLinearProblem problem;
    problem.activation = linear_.spec.activation;
    problem.input_rule = linear_.spec.input_rule;
    problem.out_features = static_cast<std::uint32_t>(linear_.spec.out_features);
    problem.in_features = static_cast<std::uint32_t>(linear_.spec.in_features);
    problem.num_shards = static_cast<std::uint32_t>(linear_.shard_rows.size());
    problem.has_bias = !linear_.bias.empty();
    problem.has_pre_quant_scale = !linear_.pre_quant_scale.empty();
    return problem;
  }

  const GpuQueue& queue_;
  const RandomLinear& linear_;
  DeviceCaps caps_;
  GpuArray<std::uint8_t> packed_;
  GpuArray<float> bias_, pre_quant_scale_;
};

// Float32 sums: each of K products and of the sums of parts rounds by 2^-24 of what was added up so far.
void expect_close(const GpuQueue& queue, const LinearSpec& spec, std::uint32_t num_tokens, Random& random) {
  RandomLinear linear(spec, random);
  for (float& scale : linear.pre_quant_scale) scale = random.below(2) == 0 ? 0.5F : 2.0F;  // no rounding of products
  std::vector<Bf16Bits> x(num_tokens * spec.in_features);
  std::vector<float> x_f32;
  for (Bf16Bits& value : x) x_f32.push_back(decode_bf16(value = encode_bf16(random.uniform(-4.0F, 4.0F))));
  LinearArgs args;
  args.x = x_f32.data();
  args.num_rows = num_tokens;
  std::vector<double> magnitude;
  const std::vector<double> expected = reference::linear(linear.view(), spec.activation, args, &magnitude);

  const GpuLinear gpu(queue, linear);
  const std::vector<float> y = gpu.run<float>(x, num_tokens);
  const std::vector<Bf16Bits> rounded = gpu.run<Bf16Bits>(x, num_tokens);
  const double step = static_cast<double>(spec.in_features + 8) * 0x1p-24;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double bias = linear.bias.empty() ? 0.0 : std::fabs(linear.bias[i % spec.out_features]);
    ASSERT_LE(std::fabs(y[i] - expected[i]), step * (magnitude[i] + bias))
        << spec.out_features << " x " << spec.in_features << ", " << num_tokens << " tokens, place " << i;
    ASSERT_EQ(rounded[i], encode_bf16(y[i]));
  }
}

TEST(LinearDecode, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {200ULL, 208ULL},
                                {5000ULL, 272ULL},
                                {333ULL, 1040ULL},
                                {640ULL, 2048ULL},
                                {100ULL, 5120ULL},
                                {70ULL, 9216ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 2U, 7U, 8U, 9U, 16U, 17U, 40U, 64U}) {
      if (in > 6000 && num_tokens > 9) continue;
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.out_features = out;
      spec.in_features = in;
      spec.num_shards = num_tokens % 3 == 0 ? 1 : 3;
      spec.bias = num_tokens % 2 == 0;
      expect_close(queue, spec, num_tokens, random);
    }
  }
}

// More items of a block than it has slots for, and than it adds up at once.
TEST(LinearDecode, OneTokenReadsLongLists) {
  const GpuQueue queue;
  Random random(5);
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.out_features = 17500;
  spec.in_features = 5120;
  expect_close(queue, spec, 1, random);
}

TEST(LinearDecode, RoundsActivations) {
  const GpuQueue queue;
  Random random(2);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t num_tokens : {1U, 11U}) {
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.activation = activation;
      spec.out_features = 150;
      spec.in_features = 720;
      spec.pre_quant_scale = num_tokens == 11 || activation == Activation::k16Bit;
      expect_close(queue, spec, num_tokens, random);
    }
  }
}

TEST(LinearDecode, ATokensBitsDoNotDependOnOthers) {
  const GpuQueue queue;
  Random random(3);
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.out_features = 1000;
  spec.in_features = 2048;
  const RandomLinear linear(spec, random);
  std::vector<Bf16Bits> x(33 * spec.in_features);
  for (Bf16Bits& value : x) value = encode_bf16(random.uniform(-4.0F, 4.0F));
  const GpuLinear gpu(queue, linear);
  const std::vector<float> together = gpu.run<float>(x, 33, true);
  for (const std::uint32_t token : {0U, 5U, 16U, 32U}) {
    const auto from = x.begin() + token * static_cast<std::ptrdiff_t>(spec.in_features);
    const std::vector<float> alone =
        gpu.run<float>({from, from + static_cast<std::ptrdiff_t>(spec.in_features)}, 1, true);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + token * 1000)) << token;
  }
}

TEST(LinearDecode, RefusesWhatItCannotDo) {
  DeviceCaps caps;
  caps.sm = 90;
  caps.num_sms = 132;
  caps.shared_bytes_per_block = 232448;
  caps.shared_bytes_per_sm = 233472;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  const auto refusal = linear_nvfp4_bf16_mma().refusal;
  EXPECT_EQ(refusal(problem, caps, kMaxLinearDecodeTokens), "");
  EXPECT_NE(refusal(problem, caps, kMaxLinearDecodeTokens + 1), "");
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.sm = 80;
  EXPECT_NE(refusal(problem, caps, 1), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
