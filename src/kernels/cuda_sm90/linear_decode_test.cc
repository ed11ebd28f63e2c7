// The kernel for few tokens against the float64 reference.
#include "kernels/cuda_sm90/linear_decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/cuda_sm90/known_divisor.h"
#include "support/emulated_size.h"
#include "support/gpu_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuLinear;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;
using support::size_for;

void expect_close(const GpuQueue& queue, const LinearSpec& spec, std::uint32_t num_tokens, Random& random) {
  support::expect_linear_close(queue, linear_nvfp4_bf16_mma_bulk(), spec, num_tokens, random);
}

using Shape = std::pair<std::uint64_t, std::uint64_t>;  // outputs, inputs

// Those of the emulation are small, of the same kinds: ragged tiles, few items, many, long rows.
std::vector<Shape> shapes() {
  if (support::kIsEmulated) return {{1, 16}, {17, 48}, {40, 208}, {1100, 80}, {33, 1040}, {20, 5120}, {18, 9216}};
  return {{1, 16}, {17, 48}, {200, 208}, {5000, 272}, {333, 1040}, {640, 2048}, {100, 5120}, {70, 9216}};
}

std::vector<std::uint32_t> token_counts() {
  if (support::kIsEmulated) return {1, 2, 8, 13, 33};
  return {1, 2, 7, 8, 9, 16, 17, 40, 64};
}

TEST(LinearDecode, DividesByKnownNumbersExactly) {
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  Random random(7);
  const auto expect_exact = [](std::uint32_t number, std::uint32_t divisor) {
    EXPECT_EQ(KnownDivisor(divisor).quotient(number), number / divisor) << number << " / " << divisor;
  };
  for (std::uint32_t divisor = 1; divisor <= 300; ++divisor) {
    for (std::uint32_t number = 0; number <= 3000; ++number) expect_exact(number, divisor);
  }
  for (const std::uint32_t divisor : {1U, 2U, 3U, 7U, 132U, 264U, 641U, 65535U, 65536U, 6700417U, kMost / 2, kMost}) {
    const std::uint32_t most = kMost / divisor;  // quotients around which rounding errs first
    for (const std::uint32_t quotient : {1U, most / 3, most - 1, most}) {
      for (const std::uint32_t number : {quotient * divisor - 1, quotient * divisor, quotient * divisor + 1, kMost}) {
        expect_exact(number, divisor);
      }
    }
    for (int i = 0; i < 1000; ++i) expect_exact(random.below(kMost), divisor);
  }
}

TEST(LinearDecode, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const auto& [out, in] : shapes()) {
    for (const std::uint32_t num_tokens : token_counts()) {
      if (support::is_for_gpus_only(in * num_tokens, 20'000)) continue;
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
  for (const auto& [out, in] :
       support::kIsEmulated ? std::vector<Shape>{{6650, 64}, {1190, 1040}} : std::vector<Shape>{{17500, 5120}}) {
    LinearSpec spec;
    spec.format = WeightFormat::kNvfp4;
    spec.out_features = out;
    spec.in_features = in;
    expect_close(queue, spec, 1, random);
  }
}

TEST(LinearDecode, RoundsActivations) {
  const GpuQueue queue;
  Random random(2);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t num_tokens : {1U, 11U}) {
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.activation = activation;
      spec.out_features = size_for(150, 70);
      spec.in_features = size_for(720, 208);
      spec.pre_quant_scale = num_tokens == 11 || activation == Activation::k16Bit;
      expect_close(queue, spec, num_tokens, random);
    }
  }
}

// One token is rounded where it is multiplied, but by a kernel before with factors for its columns, of 1 here.
TEST(LinearDecode, OneTokenIsRoundedAsByAKernel) {
  const GpuQueue queue;
  Random random(6);
  for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
    for (const auto& [out, in] : {Shape{17, 48}, {70, 720}, {40, size_for(9216, 4112)}}) {
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.activation = Activation::kNvfp4Static;
      spec.input_rule = rule;
      spec.out_features = out;
      spec.in_features = in;
      spec.pre_quant_scale = true;
      RandomLinear by_kernel(spec, random);
      for (float& scale : by_kernel.pre_quant_scale) scale = 1.0F;
      RandomLinear in_place = by_kernel;
      in_place.pre_quant_scale.clear();
      std::vector<Bf16Bits> x;
      for (std::uint64_t k = 0; k < in; ++k) x.push_back(encode_bf16(random.uniform(-4.0F, 4.0F)));
      const GpuLinear expected(queue, by_kernel, linear_nvfp4_bf16_mma_bulk());
      const GpuLinear found(queue, in_place, linear_nvfp4_bf16_mma_bulk());
      EXPECT_TRUE(found.run<float>(x, 1) == expected.run<float>(x, 1)) << out << " x " << in;
      x[in / 3] = 0xFF80;
      for (const float y : found.run<float>(x, 1)) ASSERT_TRUE(std::isnan(y));
    }
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
  const auto refusal = linear_nvfp4_bf16_mma_bulk().refusal;
  EXPECT_EQ(refusal(problem, caps, kMaxLinearDecodeTokens), "");
  EXPECT_NE(refusal(problem, caps, kMaxLinearDecodeTokens + 1), "");
  problem.batch_invariant = true;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.batch_invariant = false;
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.sm = 80;
  EXPECT_NE(refusal(problem, caps, 1), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
