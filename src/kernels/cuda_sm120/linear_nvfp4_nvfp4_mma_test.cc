// Dense layers by the FP4 tensor cores against the float64 reference on quantised operands.
#include "kernels/cuda_sm120/linear_nvfp4_nvfp4_mma.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "kernels/cuda_sm120/fp4_choice.h"
#include "support/emulated_size.h"
#include "support/fp4_device.h"
#include "support/gpu_linear.h"

namespace nvfp4::kernels::cuda_sm120 {
namespace {

using support::GpuLinear;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;

LinearSpec spec_of(std::uint64_t out_features, std::uint64_t in_features,
                   Activation activation = Activation::kNvfp4Static) {
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.activation = activation;
  spec.out_features = out_features;
  spec.in_features = in_features;
  return spec;
}

class LinearFp4 : public support::Fp4DeviceTest {
 protected:
  void expect_close(const LinearSpec& spec, std::uint32_t num_tokens, std::uint32_t num_sms = 0) {
    support::expect_linear_close(queue_, linear_nvfp4_nvfp4_mma(), spec, num_tokens, random_, num_sms);
  }

  GpuQueue queue_;
  Random random_{1};
};

// Around the edges of tiles of rows and tokens, and of K. The number of multiprocessors leads to other shapes and
// parts.
TEST_F(LinearFp4, MatchesTheReference) {
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {100ULL, 272ULL},
                                {70ULL, 1040ULL},
                                {333ULL, 1040ULL},
                                {129ULL, 5136ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 7U, 8U, 9U, 31U, 33U, 64U, 65U, 129U, 200U}) {
      if (support::is_for_gpus_only(out * in * num_tokens, 700000)) continue;
      LinearSpec spec = spec_of(out, in, num_tokens % 3 == 0 ? Activation::kNvfp4Dynamic : Activation::kNvfp4Static);
      spec.bias = num_tokens % 2 == 0;
      spec.input_rule = num_tokens % 4 == 1 ? QuantizerRule::kModelOpt : QuantizerRule::kCompressedTensors;
      expect_close(spec, num_tokens, num_tokens % 5 == 0 ? 1 : 0);
      if (HasFatalFailure()) return;
    }
  }
}

// The smallest case that leads to each shape, whole and in parts of K.
TEST_F(LinearFp4, EveryShapeMatchesTheReference) {
  struct Case {
    std::uint32_t out, in, tokens, num_sms;
    [[nodiscard]] std::uint64_t size() const { return std::uint64_t{out} * in * tokens; }
  };
  std::map<std::pair<std::uint32_t, bool>, Case> cases;
  for (const std::uint32_t num_sms : {1U, 4U, 16U}) {
    for (const std::uint32_t out : {40U, 80U, 130U}) {
      for (const std::uint32_t in : {272U, 1056U, 2064U, 4112U}) {
        for (const std::uint32_t tokens : {5U, 20U, 60U, 130U}) {
          const Case found{out, in, tokens, num_sms};
          const Fp4Choice choice = choose_fp4({out, in, num_sms, false}, tokens);
          const auto place = cases.try_emplace({choice.shape_idx, choice.num_splits > 1}, found).first;
          if (found.size() < place->second.size()) place->second = found;
        }
      }
    }
  }
  std::set<std::uint32_t> whole;
  std::uint32_t num_split = 0;
  for (const auto& [kind, found] : cases) {
    if (!kind.second) whole.insert(kind.first);
    num_split += kind.second ? 1 : 0;
    expect_close(spec_of(found.out, found.in), found.tokens, found.num_sms);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(whole.size(), kFp4Shapes.size());
  EXPECT_GE(num_split, 3U);
}

TEST_F(LinearFp4, ScalesOfShardsAndOfInputs) {
  for (const std::uint32_t num_tokens : {3U, 40U}) {
    for (const std::uint32_t num_shards : {2U, 8U}) {
      LinearSpec spec = spec_of(150, 336, num_shards == 2 ? Activation::kNvfp4Static : Activation::kNvfp4Dynamic);
      spec.num_shards = num_shards;
      spec.bias = true;
      spec.pre_quant_scale = num_tokens == 40;
      expect_close(spec, num_tokens);
    }
  }
}

// Weights and inputs that are integers: sums below 2^24 are exact in any order. Block scales are subnormal E4M3
// numbers, too.
TEST_F(LinearFp4, IntegersAreExact) {
  constexpr float kLeastScale = 0x1p-9F;
  for (const auto& [out, in] : {std::pair{40ULL, 64ULL}, {150ULL, 1040ULL}, {2000ULL, 4096ULL}}) {
    if (support::is_for_gpus_only(out * in, 200000)) continue;
    RandomLinear linear(spec_of(out, in), random_);
    linear.scale2 = {1.0F / kLeastScale};
    linear.input_scale = {1.0F};
    // Of 2^-9, and twice and four times that: all subnormal.
    for (std::uint8_t& scale : linear.block_scales) scale = static_cast<std::uint8_t>(1U << random_.below(3));
    for (const std::uint32_t num_tokens : {3U, 20U, 70U, 140U}) {
      if (support::is_for_gpus_only(out * in * num_tokens, 3500000)) continue;
      // Each block has a 6, so that its scale is 1 and its numbers are E2M1 numbers.
      std::vector<Bf16Bits> x(num_tokens * in);
      std::vector<float> values(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        constexpr float kNumbers[] = {0, 1, 2, 3, 4, 6, -1, -2, -3, -4, -6, 0.5F, -1.5F};
        values[i] = i % 16 == 0 ? 6.0F : kNumbers[random_.below(13)];
        x[i] = encode_bf16(values[i]);
      }
      for (const std::uint32_t num_sms : {1U, 132U}) {
        const GpuLinear gpu(queue_, linear, linear_nvfp4_nvfp4_mma(), false, num_sms);
        const std::vector<float> y = gpu.run<float>(x, num_tokens);
        for (std::uint32_t token = 0; token < num_tokens; token += 1 + num_tokens / 5) {
          for (std::size_t row = 0; row < out; ++row) {
            double sum = 0;
            for (std::size_t k = 0; k < in; ++k) {
              const std::size_t at = row * in + k;
              const auto code = static_cast<std::uint8_t>(linear.elements[at / 2]) >> at % 2 * 4 & 15;
              sum += double{decode_e2m1(static_cast<std::uint8_t>(code))} * decode_e4m3(linear.block_scales[at / 16]) *
                     values[token * in + k];
            }
            ASSERT_EQ(y[token * out + row], static_cast<float>(sum / kLeastScale)) << row << " of token " << token;
          }
        }
      }
    }
  }
}

TEST_F(LinearFp4, ATokensBitsDoNotDependOnOthers) {
  const std::uint64_t out = support::kIsEmulated ? 70 : 1000;
  const std::uint64_t in = support::kIsEmulated ? 336 : 2048;
  const RandomLinear linear(spec_of(out, in), random_);
  const GpuLinear gpu(queue_, linear, linear_nvfp4_nvfp4_mma(), true);
  std::vector<Bf16Bits> x(150 * in);
  for (Bf16Bits& value : x) value = encode_bf16(random_.uniform(-4.0F, 4.0F));
  const std::vector<float> together = gpu.run<float>(x, 150);
  for (const std::uint32_t num_tokens : {1U, 9U, 70U}) {
    for (const std::uint32_t first : {0U, 79U}) {
      const auto from = x.begin() + first * static_cast<std::ptrdiff_t>(in);
      const std::vector<Bf16Bits> part(from, from + static_cast<std::ptrdiff_t>(num_tokens * in));
      const std::vector<float> alone = gpu.run<float>(part, num_tokens);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + first * static_cast<std::ptrdiff_t>(out)));
    }
  }
}

TEST_F(LinearFp4, ARowThatIsNotFiniteIsSeenAndHarmsNoOther) {
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    const RandomLinear linear(spec_of(50, 208, activation), random_);
    const GpuLinear gpu(queue_, linear, linear_nvfp4_nvfp4_mma());
    for (const std::uint32_t num_tokens : {7U, 70U}) {
      std::vector<Bf16Bits> x(num_tokens * 208);
      for (Bf16Bits& value : x) value = encode_bf16(random_.uniform(-4.0F, 4.0F));
      const std::vector<float> clean = gpu.run<float>(x, num_tokens);
      x[5 * 208 + 77] = 0x7FC0;
      const std::vector<float> y = gpu.run<float>(x, num_tokens);
      for (std::size_t i = 0; i < y.size(); ++i) {
        if (i / 50 == 5) {
          ASSERT_TRUE(std::isnan(y[i]));
        } else {
          ASSERT_EQ(y[i], clean[i]);
        }
      }
    }
  }
}

TEST(LinearFp4Refusal, SaysWhatIsNotPossible) {
  DeviceCaps caps;
  caps.num_sms = 170;
  caps.shared_bytes_per_block = 101376;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  problem.activation = Activation::kNvfp4Static;
  const auto refusal = [&] { return linear_nvfp4_nvfp4_mma().refusal(problem, caps, 8192); };
  for (const std::uint32_t sm : {120U, 121U}) {
    caps.sm = sm;
    EXPECT_EQ(refusal(), "");
  }
  for (const std::uint32_t sm : {80U, 89U, 100U, 103U}) {
    caps.sm = sm;
    EXPECT_NE(refusal(), "");
  }
  caps.sm = 120;
  problem.activation = Activation::k16Bit;
  EXPECT_NE(refusal(), "");
  problem.activation = Activation::kNvfp4Dynamic;
  EXPECT_EQ(refusal(), "");
  problem.in_features = 32784;
  EXPECT_NE(refusal(), "");
  problem.in_features = 256;
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.shared_bytes_per_block = 65536;
  EXPECT_NE(refusal(), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm120
