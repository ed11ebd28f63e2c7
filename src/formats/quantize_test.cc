#include "nvfp4/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "formats/bf16.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"

namespace nvfp4 {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr QuantizerRule kRules[] = {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

MatrixView view(const std::vector<float>& values, std::uint64_t rows, DType dtype = DType::kF32) {
  return {values, rows, rows == 0 ? 0 : values.size() / rows, dtype};
}

// All ties of E2M1 with both signs and -0, under a block scale of 448 and scale2 = 1 / 448; then a block of small
// numbers, among them a negative that rounds to zero.
const std::vector<float> kTies = {6.0F,   0.25F, 0.75F, 1.25F, 1.75F,  2.5F, 3.5F,  5.0F, -0.25F, -0.75F, -1.25F,
                                  -1.75F, -2.5F, -3.5F, -5.0F, -0.0F,  0.3F, -0.3F, 0.1F, -0.0F,  1e-9F,  -1e-9F,
                                  0.7F,   0.9F,  -0.9F, 0.05F, -0.05F, 0.2F, -0.2F, 0.6F, -0.6F,  0.011F};
constexpr std::uint8_t kTiesCodes[] = {0x07, 0x22, 0x44, 0x66, 0xA8, 0xCA, 0xEC, 0x0E,
                                       0xC4, 0x01, 0x80, 0x76, 0x1F, 0x39, 0x6B, 0x0E};

TEST(Quantize, TiesAndSignsAsTheProducersDo) {
  const float scale2[] = {0x1.24924ap-9F, 448.0F};
  for (const QuantizerRule rule : kRules) {
    const auto quantized = quantize_weight(view(kTies, 1), rule);
    ASSERT_TRUE(quantized.ok());
    EXPECT_THAT(quantized->codes, ElementsAreArray(kTiesCodes));
    EXPECT_THAT(quantized->block_scales, ElementsAre(0x7E, 0x68));
    EXPECT_EQ(quantized->scale2_stored, scale2[rule == QuantizerRule::kModelOpt ? 0 : 1]);
    EXPECT_EQ(quantized->convention, scale_convention(rule));
  }
}

TEST(Quantize, Scale2IsRoundedAsInTheDtype) {
  constexpr auto kModelOpt = QuantizerRule::kModelOpt;
  constexpr auto kCompressedTensors = QuantizerRule::kCompressedTensors;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    EXPECT_EQ(*scale2_for(kModelOpt, 0.0F, dtype), 0.0F);
    EXPECT_EQ(*scale2_for(kModelOpt, 0x1.cccccdp-1F, dtype), 0x1.5f15f0p-12F);
    EXPECT_EQ(*scale2_for(kCompressedTensors, 0.0F, dtype), 1.0F);
  }
  EXPECT_EQ(*scale2_for(kCompressedTensors, 0x1.cccccdp-1F, DType::kF32), 0x1.755556p+11F);
  EXPECT_EQ(*scale2_for(kCompressedTensors, 0x1.ccp-1F, DType::kBF16), 0x1.74p+11F);
  EXPECT_EQ(*scale2_for(kCompressedTensors, 0x1.cccp-1F, DType::kF16), 0x1.758p+11F);
  // In FP16 the quotient overflows for magnitudes below 2688 / 65504.
  EXPECT_EQ(*scale2_for(kCompressedTensors, round_to_fp16(0.03F), DType::kF16), 1.0F);
  EXPECT_EQ(*scale2_for(kCompressedTensors, 1e-45F, DType::kF32), 1.0F);
}

TEST(Quantize, MatrixOfZeros) {
  const std::vector<float> zeros(32, 0.0F);
  const auto modelopt = quantize_weight(view(zeros, 2), QuantizerRule::kModelOpt);
  ASSERT_TRUE(modelopt.ok());
  EXPECT_EQ(modelopt->scale2_stored, 0.0F);
  EXPECT_THAT(modelopt->block_scales, Each(0xFF));
  EXPECT_THAT(modelopt->codes, Each(0x77));
  const auto compressed = quantize_weight(view(zeros, 2), QuantizerRule::kCompressedTensors);
  ASSERT_TRUE(compressed.ok());
  EXPECT_EQ(compressed->scale2_stored, 1.0F);
  EXPECT_THAT(compressed->block_scales, Each(0x20));  // 0.125
  EXPECT_THAT(compressed->codes, Each(0));
}

TEST(Quantize, BlockOfZerosBesideOthers) {
  std::vector<float> values(48, 0.0F);
  values[0] = 1.0F;
  values[32] = 1e-6F;  // below the least scale
  const auto weight = quantize_weight(view(values, 1), QuantizerRule::kModelOpt);
  EXPECT_THAT(weight->block_scales, ElementsAre(0x7E, 0x38, 0x01));
  const auto activation = quantize_activation(view(values, 1), QuantizerRule::kModelOpt, weight->scale2_stored);
  EXPECT_THAT(activation->block_scales, ElementsAre(0x7E, 0x00, 0x00));
  EXPECT_THAT(std::span(activation->codes).subspan(8), Each(0));
  const auto compressed = quantize_weight(view(values, 1), QuantizerRule::kCompressedTensors);
  EXPECT_THAT(compressed->block_scales, ElementsAre(0x7E, 0x20, 0x20));
}

TEST(Quantize, BlockScalesSaturateUnderASmallGivenScale2) {
  std::vector<float> values(16, 100.0F);
  values[1] = -1e-3F;
  for (const QuantizerRule rule : kRules) {
    const float scale2 = rule == QuantizerRule::kModelOpt ? 1e-3F : 1e3F;
    for (const auto& quantized :
         {quantize_weight(view(values, 1), rule, scale2), quantize_activation(view(values, 1), rule, scale2)}) {
      ASSERT_TRUE(quantized.ok());
      EXPECT_THAT(quantized->block_scales, ElementsAre(0x7E));
      EXPECT_EQ(quantized->codes[0], 0x87);
      EXPECT_EQ(quantized->codes[1], 0x77);
    }
  }
}

// In BF16 amax / 6 rounds, and can cross a tie of the E4M3 scale that it does not cross in FP32.
TEST(Quantize, CompressedTensorsRoundsTheBlockScaleInTheDtype) {
  int num_different = 0;
  for (std::uint32_t bits = 0x3F80; bits < 0x3FC0; ++bits) {
    std::vector<float> values(16, decode_bf16(static_cast<std::uint16_t>(bits)));
    const auto rule = QuantizerRule::kCompressedTensors;
    const auto in_fp32 = quantize_weight(view(values, 1), rule, 300.0F);
    const auto in_bf16 = quantize_weight(view(values, 1, DType::kBF16), rule, 300.0F);
    const float amax_over_6 = round_to_bf16(values[0] / 6.0F);
    EXPECT_EQ(in_bf16->block_scales[0], encode_e4m3_saturating(300.0F * amax_over_6));
    EXPECT_EQ(in_fp32->block_scales[0], encode_e4m3_saturating(300.0F * (values[0] / 6.0F)));
    num_different += in_fp32->block_scales != in_bf16->block_scales ? 1 : 0;
  }
  EXPECT_GT(num_different, 0);
}

// Every element comes back within half of the widest step of E2M1 (from 4 to 6: 1) times its scale.
TEST(Quantize, ReconstructionStaysWithinHalfAStep) {
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> values(64 * 176);
  for (float& value : values) value = normal(random);
  for (const QuantizerRule rule : kRules) {
    const auto quantized = quantize_weight(view(values, 64), rule);
    ASSERT_TRUE(quantized.ok());
    std::vector<float> back(values.size());
    ASSERT_TRUE(dequantize(*quantized, back).ok());
    for (std::size_t idx = 0; idx < values.size(); ++idx) {
      const float scale =
          block_multiplier(quantized->block_scales[idx / 16], quantized->scale2_stored, quantized->convention);
      const float excess = std::max(0.0F, std::fabs(values[idx]) - 6 * scale);  // saturated
      ASSERT_LE(std::fabs(values[idx] - back[idx]), std::max(1.0001F * scale, excess)) << idx;
    }
  }
}

void expect_refused(const Result<QuantizedMatrix>& result, ErrorCode code, const std::string& text) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code);
  EXPECT_THAT(result.error().to_string(), HasSubstr(text));
}

TEST(Quantize, RefusesWhatCannotBeQuantised) {
  const std::vector<float> values(48, 1.0F);
  const auto invalid = ErrorCode::kInvalidArgument;
  for (const QuantizerRule rule : kRules) {
    expect_refused(quantize_weight(view(values, 2), rule), invalid, "cols 24");
    expect_refused(quantize_weight({values, 2, 48}, rule), invalid, "48 values");
    expect_refused(quantize_weight({values, 48, 0}, rule), invalid, "48 values");
    expect_refused(quantize_weight(view(values, 1), rule, -1.0F), invalid, "scale2");
    expect_refused(quantize_weight(view(values, 1), rule, kInfinity), invalid, "scale2");
    expect_refused(quantize_activation(view(values, 1), rule, 0.0F), invalid, "scale2");
    expect_refused(quantize_weight(view(values, 1), rule, 1.0F, 48), invalid, "block_size 48");
    expect_refused(quantize_weight(view(values, 1, DType::kF8E4M3), rule), ErrorCode::kUnsupported, "dtype");
    for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
      auto broken = values;
      broken[17] = bad;
      expect_refused(quantize_weight(view(broken, 3), rule), invalid, "matrix[1, 1]: is not finite");
    }
    auto inexact = values;
    inexact[47] = 1.001F;
    expect_refused(quantize_weight(view(inexact, 3, DType::kBF16), rule), invalid, "matrix[2, 15]");
    EXPECT_FALSE(scale2_for(rule, std::nanf(""), DType::kF32).ok());
    EXPECT_FALSE(scale2_for(rule, 1.0F, DType::kU8).ok());
  }
  expect_refused(quantize_weight(view(std::vector<float>(32, 1.0F), 1), QuantizerRule::kCompressedTensors, {}, 32),
                 invalid, "block_size 32");
  EXPECT_TRUE(quantize_weight(view(std::vector<float>(32, 1.0F), 1), QuantizerRule::kModelOpt, {}, 32).ok());
}

TEST(Quantize, EmptyMatrixAndWrongBuffers) {
  const std::vector<float> none;
  const auto empty = quantize_weight({none, 0, 16}, QuantizerRule::kModelOpt);
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->codes.empty());
  auto quantized = quantize_weight(view(kTies, 2), QuantizerRule::kModelOpt);
  std::vector<float> out(kTies.size());
  EXPECT_TRUE(dequantize(*quantized, out).ok());
  EXPECT_FALSE(dequantize(*quantized, std::span(out).first(16)).ok());
  quantized->codes.pop_back();
  EXPECT_FALSE(dequantize(*quantized, out).ok());
}

}  // namespace
}  // namespace nvfp4
