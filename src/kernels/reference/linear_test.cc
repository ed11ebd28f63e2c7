// The reference against numbers worked out by hand: it is what all kernels are compared with.
#include "kernels/reference/linear.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace nvfp4::kernels::reference {
namespace {

// Two experts of three rows of 32 in two shards (rows 0 | 1, 2). Codes: 0x21 is (0.5, 1), 0xFA is (-1, -6).
struct SmallNvfp4 {
  std::vector<std::uint8_t> codes;
  std::vector<std::uint8_t> block_scales;
  std::array<std::uint64_t, 2> shard_rows{1, 2};
  std::array<float, 4> scale2{3.0F, 5.0F, 7.0F, 11.0F};

  SmallNvfp4() {
    for (int row = 0; row < 6; ++row) {
      codes.insert(codes.end(), 8, 0x21);
      codes.insert(codes.end(), 8, 0xFA);
      block_scales.push_back(0x38);                                   // 1
      block_scales.push_back(static_cast<std::uint8_t>(0x40 + row));  // 2, 2.25, 2.5, ...
    }
  }
  [[nodiscard]] LinearWeight view() const {
    LinearWeight weight;
    weight.format = WeightFormat::kNvfp4;
    weight.num_experts = 2;
    weight.out_features = 3;
    weight.in_features = 32;
    weight.block_size = 16;
    weight.elements = reinterpret_cast<const std::byte*>(codes.data());
    weight.block_scales = block_scales.data();
    weight.shard_rows = shard_rows;
    weight.scale2 = scale2;
    return weight;
  }
};

TEST(ReferenceLinear, DequantizesEveryRowWithItsScales) {
  const SmallNvfp4 small;
  constexpr std::array kScale2 = {3.0, 5.0, 5.0, 7.0, 11.0, 11.0};
  std::array<double, 32> row{};
  for (std::uint32_t i = 0; i < 6; ++i) {
    dequantize_row(small.view(), i / 3, i % 3, row);
    const double block_scale = 2.0 + 0.25 * i;
    for (std::size_t k = 0; k < 32; ++k) {
      const double code = k < 16 ? (k % 2 == 0 ? 0.5 : 1.0) : (k % 2 == 0 ? -1.0 : -6.0);
      EXPECT_EQ(row[k], code * (k < 16 ? 1.0 : block_scale) * kScale2[i]) << i << ", " << k;
    }
  }
}

TEST(ReferenceLinear, BlocksOf32AndPerRowScales) {
  SmallNvfp4 small;
  LinearWeight weight = small.view();
  weight.block_size = 32;
  std::array<double, 32> row{};
  dequantize_row(weight, 1, 0, row);  // row 3 of all, scale byte 3: 0x41 = 2.25, scale2 7
  EXPECT_EQ(row[0], 0.5 * 2.25 * 7);
  EXPECT_EQ(row[31], -6 * 2.25 * 7);

  const std::array<std::uint8_t, 4> fp8 = {0x38, 0xC0, 0x01, 0x7E};  // 1, -2 | 2^-9, 448
  const std::array<float, 2> scales = {3.0F, 0.5F};
  weight = {};
  weight.format = WeightFormat::kFp8;
  weight.out_features = weight.in_features = 2;
  weight.elements = reinterpret_cast<const std::byte*>(fp8.data());
  weight.scale2 = scales;
  weight.per_row_scale = true;
  dequantize_row(weight, 0, 0, std::span(row).first(2));
  EXPECT_EQ(row[1], -6.0);
  dequantize_row(weight, 0, 1, std::span(row).first(2));
  EXPECT_EQ(row[0], 0x1p-10);
  EXPECT_EQ(row[1], 224.0);
}

TEST(ReferenceLinear, SumsOverTheExpertOfEachRowAndAddsTheBias) {
  const std::array<float, 8> elements = {1, 2, 3, 4, 10, 20, 30, 40};  // [2, 2, 2]
  LinearWeight weight;
  weight.format = WeightFormat::kF32;
  weight.num_experts = 2;
  weight.out_features = weight.in_features = 2;
  weight.elements = reinterpret_cast<const std::byte*>(elements.data());
  const std::array<float, 6> x = {1, -1, 2, 0, 0.5F, 0.25F};
  const std::array<std::uint32_t, 3> offsets = {0, 1, 3};
  std::vector<double> magnitude;
  const LinearArgs args{x.data(), nullptr, 3, offsets};
  EXPECT_EQ(linear(weight, Activation::k16Bit, args, &magnitude), (std::vector<double>{-1, -1, 20, 60, 10, 25}));
  EXPECT_EQ(magnitude, (std::vector<double>{3, 7, 20, 60, 10, 25}));

  const std::array<float, 2> bias = {-100, 0.5F};
  const std::array<float, 2> pre_quant_scale = {2, 3};
  weight.num_experts = 1;
  weight.bias = bias;
  weight.pre_quant_scale = pre_quant_scale;
  EXPECT_EQ(linear(weight, Activation::k16Bit, {x.data(), nullptr, 1, {}}, &magnitude),
            (std::vector<double>{-100 + 2 - 6, 0.5 + 6 - 12}));
  EXPECT_EQ(magnitude, (std::vector<double>{100 + 2 + 6, 0.5 + 6 + 12}));
}

TEST(ReferenceLinear, RoundsInputsByEachRule) {
  const SmallNvfp4 small;
  LinearWeight weight = small.view();
  std::array<float, 32> x{};
  x[0] = 6.0F;
  x[1] = 2.4F;   // nearest code 2
  x[2] = -2.6F;  // nearest code -3
  x[16] = 12.0F;
  x[17] = 5.1F;  // between 4 and 6 under a scale of 2: 2 * 2
  std::array<double, 32> out{};
  std::array<double, 32> expected{};
  expected[0] = 6;
  expected[1] = 2;
  expected[2] = -3;
  expected[16] = 12;
  expected[17] = 6;  // 2.55 rounds to 3
  std::array<float, 2> input_scale = {0.25F, 0.5F};
  weight.input_scale = input_scale;
  for (std::uint32_t expert_idx = 0; expert_idx < 2; ++expert_idx) {
    round_activation(weight, Activation::kNvfp4Static, expert_idx, x, out);
    EXPECT_EQ(out, expected);
  }
  input_scale = {4.0F, 2.0F};
  weight.input_rule = QuantizerRule::kCompressedTensors;
  round_activation(weight, Activation::kNvfp4Static, 0, x, out);
  EXPECT_EQ(out, expected);
  // 12 / 2688 is 2^-5 / 7: the block scales are 448 and 224, as exact as before up to that multiplier.
  weight.input_scale = {};
  round_activation(weight, Activation::kNvfp4Dynamic, 0, x, out);
  for (std::size_t k = 0; k < 32; ++k) EXPECT_NEAR(out[k], expected[k], 1e-6) << k;
}

TEST(ReferenceLinear, RoundsInputsToFp8) {
  LinearWeight weight;
  weight.in_features = 4;
  const std::array<float, 4> x = {448.0F, -17.0F, 0.0F, 1000.0F};
  std::array<double, 4> out{};
  const std::array<float, 1> scale = {1.0F};
  weight.input_scale = scale;
  round_activation(weight, Activation::kFp8Static, 0, x, out);
  EXPECT_EQ(out, (std::array<double, 4>{448, -16, 0, 448}));  // 17 ties to even, 1000 saturates
  weight.input_scale = {};
  const std::array<float, 4> y = {896.0F, -34.0F, 0.0F, 2.0F};
  round_activation(weight, Activation::kFp8Dynamic, 0, y, out);
  EXPECT_EQ(out, (std::array<double, 4>{896, -32, 0, 2}));
}

TEST(ReferenceLinear, ARowThatIsNotFiniteRoundsToNaN) {
  LinearWeight weight;
  weight.in_features = 16;
  const std::array<float, 1> scale = {0.1F};
  weight.input_scale = scale;
  std::array<double, 16> out{};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::array<float, 16> x{};
    x[3] = bad;
    for (const auto activation :
         {Activation::kNvfp4Static, Activation::kNvfp4Dynamic, Activation::kFp8Static, Activation::kFp8Dynamic}) {
      round_activation(weight, activation, 0, x, out);
      for (const double value : out) EXPECT_TRUE(std::isnan(value)) << activation_name(activation);
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels::reference
