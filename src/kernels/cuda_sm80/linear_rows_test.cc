// Linear layers with FP8 and BF16 weights against the float64 reference, few tokens and many. The number of
// multiprocessors that a plan is told decides about shapes and parts of K: any is right.
#include "kernels/cuda_sm80/linear_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "support/emulated_size.h"
#include "support/gpu_linear_rows.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

using support::GpuLinearRows;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::random_x;
using support::RandomLinear;

const DeviceLinearKernel& kernel_of(WeightFormat format) {
  return format == WeightFormat::kFp8 ? linear_fp8_bf16_mma() : linear_bf16_mma();
}

class LinearRows : public testing::TestWithParam<WeightFormat> {
 protected:
  [[nodiscard]] LinearSpec spec(std::uint64_t out_features, std::uint64_t in_features) const {
    LinearSpec spec;
    spec.format = GetParam();
    spec.out_features = out_features;
    spec.in_features = in_features;
    return spec;
  }
  void expect_close(const LinearSpec& spec, std::uint32_t num_tokens, support::GpuLinearOptions options = {}) {
    support::expect_close(queue_, kernel_of(spec.format), spec, num_tokens, random_, options);
  }

  GpuQueue queue_;
  Random random_{1};
};

TEST_P(LinearRows, FewTokensMatchTheReference) {
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {200ULL, 208ULL},
                                {5000ULL, 272ULL},
                                {333ULL, 1040ULL},
                                {129ULL, 5136ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 2U, 7U, 8U, 9U, 15U, 16U}) {
      if (support::is_for_gpus_only(out * in * num_tokens, 400000)) continue;
      LinearSpec wanted = spec(out, in);
      wanted.bias = num_tokens % 2 == 0;
      expect_close(wanted, num_tokens, {.num_sms = num_tokens % 3 * 20});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearRows, ManyTokensMatchTheReference) {
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL}, {70ULL, 48ULL}, {300ULL, 1040ULL}, {513ULL, 2064ULL}}) {
    for (const std::uint32_t num_tokens : {17U, 32U, 33U, 64U, 129U, 200U}) {
      for (const std::uint32_t num_sms : {1U, 7U, 24U, 132U}) {
        if (in > 2000 && num_sms == 7) continue;
        if (support::is_for_gpus_only(out * in * num_tokens, 11000000)) continue;
        LinearSpec wanted = spec(out, in);
        wanted.bias = num_tokens % 2 == 0;
        expect_close(wanted, num_tokens, {.num_sms = num_sms});
        if (HasFatalFailure()) return;
      }
    }
  }
  if (!support::kIsEmulated) expect_close(spec(130, 80), 8192);
}

// Large tiles, and parts of K of large tiles, each chosen by one of these.
TEST_P(LinearRows, LargeTilesMatchTheReference) {
  struct Case {
    std::uint64_t in_features;
    std::uint32_t num_tokens, num_sms;
  };
  for (const auto& [in, num_tokens, num_sms] : {Case{528, 250, 1},
                                                {528, 250, 4},
                                                {528, 250, 5},
                                                {528, 300, 7},
                                                {2064, 250, 4},
                                                {2064, 250, 8},
                                                {2064, 300, 20}}) {
    if (support::is_for_gpus_only(in, 528)) continue;
    expect_close(spec(513, in), num_tokens, {.num_sms = num_sms});
    if (HasFatalFailure()) return;
  }
}

// Sums of integers below 2^24: to the bit, in whatever order.
TEST_P(LinearRows, IntegersAreExact) {
  for (const auto& [out, in] : {std::pair{40ULL, 32ULL}, {300ULL, 1552ULL}, {2000ULL, 4096ULL}}) {
    if (support::is_for_gpus_only(out * in, 10000)) continue;
    RandomLinear linear(spec(out, in), random_);
    linear.scale2.assign(linear.scale2.size(), 0.25F);
    std::vector<int> weights(out * in);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<int>(random_.below(31)) - 15;  // 4 bits
      const auto value = static_cast<float>(weights[i]);
      const Bf16Bits bits = encode_bf16(value);
      if (GetParam() == WeightFormat::kFp8) linear.elements[i] = std::byte{encode_e4m3_or_nan(value)};
      if (GetParam() == WeightFormat::kBF16) std::memcpy(&linear.elements[2 * i], &bits, sizeof(bits));
    }
    const GpuLinearRows gpu(queue_, kernel_of(linear.spec.format), linear);
    for (const std::uint32_t num_tokens : {3U, 16U, 60U, 300U}) {
      std::vector<Bf16Bits> x(num_tokens * in);
      for (Bf16Bits& value : x) value = encode_bf16(static_cast<float>(random_.below(511)) - 255.0F);
      const float scale = GetParam() == WeightFormat::kFp8 ? 0.25F : 1.0F;
      for (const std::uint32_t num_sms : {1U, 132U}) {
        const std::vector<float> y = gpu.run<float>(x, num_tokens, {.num_sms = num_sms});
        for (std::uint32_t token = 0; token < num_tokens; token += 1 + num_tokens / 5) {
          for (std::size_t row = 0; row < out; ++row) {
            double sum = 0;
            for (std::size_t k = 0; k < in; ++k) sum += weights[row * in + k] * double{decode_bf16(x[token * in + k])};
            ASSERT_EQ(y[token * out + row], static_cast<float>(sum) * scale) << row << " of token " << token;
          }
        }
      }
    }
  }
}

// A layer of rows that hold one number other than 0 each.
TEST(LinearRowsFp8, EveryCodeIsExact) {
  const GpuQueue queue;
  Random random(3);
  LinearSpec spec;
  spec.format = WeightFormat::kFp8;
  spec.out_features = 256;
  spec.in_features = 96;
  for (const std::uint32_t shift : {0U, 5U, 71U}) {
    RandomLinear linear(spec, random);
    linear.scale2 = {1.0F};
    std::fill(linear.elements.begin(), linear.elements.end(), std::byte{0});
    const auto place_of = [&](std::size_t row) { return (row + shift) % spec.in_features; };
    for (std::size_t row = 0; row < 256; ++row)
      linear.elements[row * spec.in_features + place_of(row)] = std::byte(row);
    const GpuLinearRows gpu(queue, kernel_of(linear.spec.format), linear);
    for (const std::uint32_t num_tokens : {1U, 16U, 100U}) {
      const std::vector<Bf16Bits> x = random_x(num_tokens * spec.in_features, random);
      const std::vector<float> y = gpu.run<float>(x, num_tokens);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t row = i % 256;
        const float expected =
            decode_e4m3(static_cast<std::uint8_t>(row)) * decode_bf16(x[i / 256 * spec.in_features + place_of(row)]);
        if (std::isnan(expected)) {
          ASSERT_TRUE(std::isnan(y[i])) << "code " << row;
        } else {
          ASSERT_EQ(y[i], expected) << "code " << row;
        }
      }
    }
  }
}

TEST(LinearRowsFp8, ScalesOfShardsAndOfRows) {
  const GpuQueue queue;
  Random random(4);
  for (const std::uint32_t num_tokens : {1U, 11U, 40U, 150U}) {
    LinearSpec spec;
    spec.format = WeightFormat::kFp8;
    spec.out_features = 333;
    spec.in_features = 528;
    spec.bias = true;
    for (const std::uint32_t num_shards : {2U, 3U, 8U}) {
      spec.num_shards = num_shards;
      support::expect_close(queue, linear_fp8_bf16_mma(), spec, num_tokens, random);
    }
    spec.num_shards = 1;
    spec.per_row_scale = true;
    support::expect_close(queue, linear_fp8_bf16_mma(), spec, num_tokens, random);
  }
}

TEST(LinearRowsFp8, RoundsActivations) {
  const GpuQueue queue;
  Random random(5);
  for (const Activation activation : {Activation::k16Bit, Activation::kFp8Static, Activation::kFp8Dynamic}) {
    for (const std::uint32_t num_tokens : {1U, 11U, 70U}) {
      for (const bool pre_quant_scale : {false, true}) {
        LinearSpec spec;
        spec.format = WeightFormat::kFp8;
        spec.activation = activation;
        spec.out_features = 150;
        spec.in_features = 720;
        spec.per_row_scale = num_tokens == 11;
        spec.pre_quant_scale = pre_quant_scale;
        support::expect_close(queue, linear_fp8_bf16_mma(), spec, num_tokens, random);
      }
    }
  }
}

TEST_P(LinearRows, ScalesInputs) {
  LinearSpec wanted = spec(150, 720);
  wanted.pre_quant_scale = true;
  for (const std::uint32_t num_tokens : {3U, 50U}) expect_close(wanted, num_tokens);
}

TEST_P(LinearRows, ATokensBitsDoNotDependOnOthers) {
  const std::uint64_t num_features = support::kIsEmulated ? 100 : 1000;
  const LinearSpec wanted = spec(num_features, support::kIsEmulated ? 208 : 2048);
  const RandomLinear linear(wanted, random_);
  const GpuLinearRows gpu(queue_, kernel_of(linear.spec.format), linear);
  const std::vector<Bf16Bits> x = random_x(300 * wanted.in_features, random_);
  const std::vector<float> together = gpu.run<float>(x, 300, {.batch_invariant = true});
  for (const std::uint32_t num_tokens : {1U, 9U, 40U, 100U}) {
    for (const std::uint32_t first : {0U, 199U}) {
      const auto from = x.begin() + first * static_cast<std::ptrdiff_t>(wanted.in_features);
      const std::vector<Bf16Bits> part(from, from + static_cast<std::ptrdiff_t>(num_tokens * wanted.in_features));
      const std::vector<float> alone = gpu.run<float>(part, num_tokens, {.batch_invariant = true});
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + first * num_features)) << num_tokens;
    }
  }
}

TEST_P(LinearRows, ARowThatIsNotFiniteIsSeenAndHarmsNoOther) {
  const RandomLinear linear(spec(100, 208), random_);
  const GpuLinearRows gpu(queue_, kernel_of(linear.spec.format), linear);
  for (const std::uint32_t num_tokens : {9U, 70U}) {
    std::vector<Bf16Bits> x = random_x(num_tokens * 208, random_);
    const std::vector<float> clean = gpu.run<float>(x, num_tokens);
    x[5 * 208 + 77] = 0x7FC0;
    const std::vector<float> y = gpu.run<float>(x, num_tokens);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i / 100 == 5) {
        ASSERT_TRUE(std::isnan(y[i]));
      } else {
        ASSERT_EQ(y[i], clean[i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, LinearRows, testing::Values(WeightFormat::kFp8, WeightFormat::kBF16),
                         [](const auto& format) { return std::string(weight_format_name(format.param)); });

TEST(LinearRowsRefusal, SaysWhatIsNotPossible) {
  DeviceCaps caps;
  caps.num_sms = 108;
  caps.shared_bytes_per_block = 101376;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  for (const std::uint32_t sm : {80U, 86U, 89U, 90U, 120U, 121U}) {
    caps.sm = sm;
    problem.weight = WeightFormat::kFp8;
    EXPECT_EQ(linear_fp8_bf16_mma().refusal(problem, caps, 8192), "");
    EXPECT_NE(linear_bf16_mma().refusal(problem, caps, 1), "");
    problem.weight = WeightFormat::kBF16;
    EXPECT_EQ(linear_bf16_mma().refusal(problem, caps, 8192), "");
    EXPECT_NE(linear_fp8_bf16_mma().refusal(problem, caps, 1), "");
  }
  caps.sm = 75;
  EXPECT_NE(linear_bf16_mma().refusal(problem, caps, 1), "");
  caps.sm = 80;
  caps.shared_bytes_per_block = 49152;
  EXPECT_NE(linear_bf16_mma().refusal(problem, caps, 1), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm80
