// Rows of activations as the device rounds them, against the quantisers of formats/: bit for bit.
#include "kernels/cuda_shared/quantize_activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;

struct Rows {
  Activation activation;
  QuantizerRule rule;
  std::uint32_t num_rows;
  std::uint32_t in_features;
  std::uint32_t top_k = 1;
  std::vector<Bf16Bits> x = {};
  std::vector<float> pre_quant_scale = {}, input_scales = {}, router_weights = {};
  std::vector<std::int32_t> pair_of_row = {}, expert_ids = {};
};

struct RoundedRow {
  std::vector<Bf16Bits> values;
  float scale = 1.0F;
};

RoundedRow round_on_host(const Rows& rows, std::size_t row) {
  std::size_t pair = row;
  std::size_t token = row;
  float stored = rows.input_scales.empty() ? 0.0F : rows.input_scales[0];
  if (!rows.pair_of_row.empty()) {
    pair = static_cast<std::size_t>(rows.pair_of_row[row]);
    token = pair / rows.top_k;
    if (!rows.input_scales.empty()) stored = rows.input_scales[static_cast<std::size_t>(rows.expert_ids[pair])];
  }
  const std::size_t count = rows.in_features;
  std::vector<float> values;
  float amax = 0.0F;
  bool is_finite = true;
  for (std::size_t k = 0; k < count; ++k) {
    float value = decode_bf16(rows.x[token * count + k]);
    if (!rows.pre_quant_scale.empty()) value = round_to_bf16(value * rows.pre_quant_scale[k]);
    if (!rows.router_weights.empty()) value *= rows.router_weights[pair];
    is_finite = is_finite && std::isfinite(value);
    amax = std::max(amax, std::fabs(value));
    values.push_back(value);
  }
  RoundedRow out;
  const auto dynamic = [amax](float range) { return amax / range == 0.0F ? 1.0F : amax / range; };
  if (rows.activation == Activation::k16Bit) {
    for (const float value : values) out.values.push_back(encode_bf16(value));
    return out;
  }
  if (!is_finite) return {std::vector<Bf16Bits>(count, 0x7FC0), std::numeric_limits<float>::quiet_NaN()};
  if (rows.activation == Activation::kFp8Static || rows.activation == Activation::kFp8Dynamic) {
    out.scale = rows.activation == Activation::kFp8Static ? stored : dynamic(kE4m3Max);
    for (const float value : values) {
      out.values.push_back(encode_bf16(decode_e4m3(encode_e4m3_saturating(value / out.scale))));
    }
    return out;
  }
  const bool is_static = rows.activation == Activation::kNvfp4Static;
  const QuantizerRule rule = is_static ? rows.rule : QuantizerRule::kModelOpt;
  const float scale2 = is_static ? stored : dynamic(kNvfp4Range);
  out.scale = rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2;
  std::vector<std::uint8_t> codes(count / 2);
  std::vector<std::uint8_t> scales(count / kNvfp4BlockSize);
  quantize_activation_row(values, rule, scale2, codes, scales);
  for (std::size_t k = 0; k < count; ++k) {
    const float number = decode_e2m1(unpack_e2m1(codes.data(), k)) * decode_e4m3(scales[k / kNvfp4BlockSize]);
    out.values.push_back(encode_bf16(number));
  }
  return out;
}

class QuantizeActivationsTest : public ::testing::Test {
 protected:
  void expect_exact(const Rows& rows) {
    const std::size_t count = rows.in_features;
    const GpuArray<Bf16Bits> x(queue_, rows.x), values(queue_, rows.num_rows * count);
    const GpuArray<float> pre_quant_scale(queue_, rows.pre_quant_scale), input_scales(queue_, rows.input_scales),
        router_weights(queue_, rows.router_weights), row_scale(queue_, rows.num_rows);
    const GpuArray<std::int32_t> pair_of_row(queue_, rows.pair_of_row), expert_ids(queue_, rows.expert_ids);
    QuantizeActivations quantize;
    quantize.activation = rows.activation;
    quantize.rule = rows.rule;
    quantize.num_rows = rows.num_rows;
    quantize.in_features = rows.in_features;
    quantize.x = x.data();
    if (!rows.pre_quant_scale.empty()) quantize.pre_quant_scale = pre_quant_scale.data();
    if (!rows.router_weights.empty()) quantize.router_weights = router_weights.data();
    if (!rows.pair_of_row.empty()) {
      quantize.pair_of_row = pair_of_row.data();
      quantize.top_k = rows.top_k;
      quantize.expert_ids = expert_ids.data();
      quantize.input_scales = rows.input_scales.empty() ? nullptr : input_scales.data();
      quantize.lookup = {nullptr, static_cast<std::uint32_t>(rows.input_scales.size()),
                         static_cast<std::uint32_t>(rows.input_scales.size())};
    } else if (!rows.input_scales.empty()) {
      quantize.input_scale = rows.input_scales[0];
    }
    quantize.values = values.data();
    quantize.row_scale = row_scale.data();
    queue_.expect_ok(quantize_activations(quantize, queue_.get()));
    const auto found_values = values.host();
    const auto found_scales = row_scale.host();
    for (std::size_t row = 0; row < rows.num_rows; ++row) {
      if (!rows.pair_of_row.empty() && rows.pair_of_row[row] < 0) {
        EXPECT_EQ(found_values[row * count], 0xA5A5) << "a row that is none was written";
        continue;
      }
      const RoundedRow expected = round_on_host(rows, row);
      const bool is_nan = std::isnan(expected.scale);
      ASSERT_TRUE(is_nan || found_scales[row] == expected.scale) << "row " << row << ": " << found_scales[row];
      for (std::size_t k = 0; k < count; ++k) {
        const Bf16Bits found = found_values[row * count + k];
        if (is_nan || std::isnan(decode_bf16(expected.values[k]))) {
          ASSERT_TRUE(std::isnan(decode_bf16(found))) << "row " << row << ", column " << k;
        } else {
          ASSERT_EQ(found, expected.values[k]) << "row " << row << ", column " << k;
        }
      }
    }
  }

  // Blocks of every size, zeros of both signs, subnormals; now and then a row that is not finite.
  std::vector<Bf16Bits> random_rows(std::size_t num_rows, std::size_t in_features, float power) {
    std::vector<Bf16Bits> x;
    for (std::size_t row = 0; row < num_rows; ++row) {
      for (std::size_t k = 0; k < in_features; ++k) {
        if (k % kNvfp4BlockSize == 0) unit_ = std::exp2(power + uniform(-12.0F, 6.0F));
        x.push_back(encode_bf16(random_() % 16 == 0 ? -0.0F : unit_ * uniform(-1.0F, 1.0F)));
      }
      if (random_() % 8 == 0) x[row * in_features + random_() % in_features] = random_() % 2 == 0 ? 0x7F80 : 0xFFA0;
    }
    return x;
  }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_); }

  GpuQueue queue_;
  std::mt19937_64 random_{1};
  float unit_ = 1.0F;
};

constexpr std::array kActivations = {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic,
                                     Activation::kFp8Static, Activation::kFp8Dynamic};

TEST_F(QuantizeActivationsTest, RowsOfEveryWidth) {
  for (const Activation activation : kActivations) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t in_features :
           {16U, 48U, 768U, 1024U, 1040U, 1856U, 2048U, 2064U, 4096U, 4112U, 8192U, 8208U, 32768U}) {
        SCOPED_TRACE(std::string(activation_name(activation)) + ", " + std::to_string(in_features));
        Rows rows{activation, rule, 19, in_features};
        const float power = uniform(-10.0F, 10.0F);
        rows.x = random_rows(rows.num_rows, in_features, power);
        const float scale = std::exp2(power) * 0.0007F;
        rows.input_scales = {
            rule == QuantizerRule::kCompressedTensors && activation == Activation::kNvfp4Static ? 1.0F / scale : scale};
        expect_exact(rows);
        if (in_features % 48 == 0) {
          for (std::uint32_t k = 0; k < in_features; ++k) rows.pre_quant_scale.push_back(uniform(0.2F, 3.0F));
          expect_exact(rows);
        }
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(QuantizeActivationsTest, OneRowOfEveryWidth) {
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t in_features : {16U, 272U, 1040U, 2064U, 8192U, 8208U, 28672U, 32768U}) {
      for (const bool has_factors : {false, true}) {
        Rows rows{activation, QuantizerRule::kModelOpt, 1, in_features};
        rows.input_scales = {0.0007F};
        for (std::uint32_t k = 0; has_factors && k < in_features; ++k) {
          rows.pre_quant_scale.push_back(uniform(0.2F, 3.0F));
        }
        for (int round = 0; round < 4; ++round) {
          rows.x = random_rows(1, in_features, 0.0F);
          if (round != 0) rows.x[random_() % in_features] = round == 1 ? 0xFF80 : round == 2 ? 0x7FC1 : 0x3F80;
          expect_exact(rows);
        }
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(QuantizeActivationsTest, ManyShortRows) {
  for (const Activation activation : kActivations) {
    for (const std::uint32_t in_features : {16U, 48U, 768U, 1024U}) {
      Rows rows{activation, QuantizerRule::kModelOpt, 1027, in_features};
      rows.x = random_rows(rows.num_rows, in_features, 0.0F);
      rows.input_scales = {0.0007F};
      expect_exact(rows);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(QuantizeActivationsTest, ScalesFarFromOne) {
  for (const float power : {-140.0F, -125.0F, -70.0F, 70.0F, 120.0F}) {
    for (const Activation activation : kActivations) {
      for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
        Rows rows{activation, rule, 9, 192};
        rows.x = random_rows(rows.num_rows, rows.in_features, power);
        rows.input_scales = {std::max(std::exp2(power) * 0.0007F, 0x1p-140F)};
        expect_exact(rows);
        rows.input_scales = {0.01F};
        expect_exact(rows);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(QuantizeActivationsTest, SortedRowsUnderTheirExpertsScales) {
  for (const Activation activation : kActivations) {
    for (const bool weighted : {false, true}) {
      Rows rows{activation, QuantizerRule::kModelOpt, 60, 320, 3};
      rows.x = random_rows(20, rows.in_features, 1.0F);
      rows.input_scales = {0.002F, 0.001F, 0.0035F, 0.01F, 0.0007F};
      for (std::int32_t pair = 0; pair < 60; ++pair) {
        rows.pair_of_row.push_back(pair % 7 == 3 ? -1 : pair);
        rows.expert_ids.push_back(static_cast<std::int32_t>(random_() % 5));
        if (weighted) rows.router_weights.push_back(uniform(0.0F, 1.0F));
      }
      std::shuffle(rows.pair_of_row.begin(), rows.pair_of_row.end(), random_);
      expect_exact(rows);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
