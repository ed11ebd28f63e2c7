// The kernels for many tokens against the float64 reference.
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"
#include "support/emulated_size.h"
#include "support/gpu_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuLinear;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;

void expect_wgmma_close(const GpuQueue& queue, const LinearSpec& spec, std::uint32_t num_tokens, Random& random) {
  support::expect_linear_close(queue, linear_nvfp4_bf16_wgmma(), spec, num_tokens, random);
}

TEST(LinearWgmma, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {200ULL, 208ULL},
                                {333ULL, 1040ULL},
                                {640ULL, 2048ULL},
                                {3000ULL, 144ULL},
                                {100ULL, 5120ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 8U, 9U, 64U, 65U, 130U, 257U}) {
      if (out * in * num_tokens > (support::kIsEmulated ? 12000000U : 100000000U)) continue;  // of the reference
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.out_features = out;
      spec.in_features = in;
      spec.num_shards = num_tokens % 3 == 0 ? 1 : 3;
      spec.bias = num_tokens % 2 == 0;
      expect_wgmma_close(queue, spec, num_tokens, random);
    }
  }
}

TEST(LinearWgmma, RoundsActivations) {
  const GpuQueue queue;
  Random random(2);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t num_tokens : {11U, 150U}) {
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.activation = activation;
      spec.out_features = 150;
      spec.in_features = 720;
      spec.pre_quant_scale = num_tokens == 11 || activation == Activation::k16Bit;
      expect_wgmma_close(queue, spec, num_tokens, random);
    }
  }
}

TEST(LinearWgmma, ATokensBitsDoNotDependOnOthers) {
  const GpuQueue queue;
  Random random(3);
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.out_features = support::kIsEmulated ? 200 : 1000;
  spec.in_features = support::kIsEmulated ? 336 : 2048;
  const RandomLinear linear(spec, random);
  std::vector<Bf16Bits> x(300 * spec.in_features);
  for (Bf16Bits& value : x) value = encode_bf16(random.uniform(-4.0F, 4.0F));
  const GpuLinear gpu(queue, linear, linear_nvfp4_bf16_wgmma(), true);
  const std::vector<float> together = gpu.run<float>(x, 300);
  for (const std::uint32_t token : {0U, 5U, 128U, 299U}) {
    const auto from = x.begin() + token * static_cast<std::ptrdiff_t>(spec.in_features);
    const std::vector<float> alone = gpu.run<float>({from, from + static_cast<std::ptrdiff_t>(spec.in_features)}, 1);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           together.begin() + token * static_cast<std::ptrdiff_t>(spec.out_features)))
        << token;
  }
}

TEST(LinearWgmma, ChoosesTiles) {
  constexpr std::uint32_t kSms = 132;
  const LinearSplits splits{true, {66, 28, 14}};
  EXPECT_EQ(choose_linear_tiling(8192, 8192, 4096, kSms, splits).kind, 256U);
  EXPECT_EQ(choose_linear_tiling(25600, 5120, 64, kSms, splits).max_columns, 64U);
  EXPECT_GT(choose_linear_tiling(4096, 8192, 64, kSms, splits).num_splits, 1U);
  EXPECT_EQ(choose_linear_tiling(4096, 8192, 64, kSms, {}).num_splits, 1U);
  for (const std::uint32_t num_tokens : {1U, 7U, 100U, 129U, 1000U, 8192U}) {
    const LinearTiling tiling = choose_linear_tiling(2048, 2048, num_tokens, kSms, splits);
    EXPECT_LE(tiling.max_columns, tiling.kind);
    EXPECT_EQ(tiling.max_columns % 8, 0U);
    // What TileMap::find() makes of it: every tile but the last has max_columns.
    const std::uint32_t shares = (num_tokens + tiling.max_columns - 1) / tiling.max_columns;
    EXPECT_EQ(((num_tokens + shares - 1) / shares + 7) / 8 * 8, tiling.max_columns) << num_tokens;
  }
}

TEST(LinearWgmma, RefusesWhatItCannotDo) {
  DeviceCaps caps;
  caps.sm = 90;
  caps.num_sms = 132;
  caps.shared_bytes_per_block = 232448;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  const auto refusal = linear_nvfp4_bf16_wgmma().refusal;
  EXPECT_EQ(refusal(problem, caps, 100000), "");
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.sm = 80;
  EXPECT_NE(refusal(problem, caps, 1), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
