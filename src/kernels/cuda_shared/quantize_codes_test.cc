// Codes and scales as the device writes them, against the quantisers of formats/: byte for byte.
#include "kernels/cuda_shared/quantize_codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"
#include "layouts/quantized_rows_256.h"
#include "support/emulated_size.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using Layout = QuantizedRows256;
using support::GpuArray;
using support::GpuQueue;

struct ValueRows {
  Activation activation;
  QuantizerRule rule;
  std::uint32_t in_features;
  std::vector<std::vector<float>> values;  // as they are to be quantised
  float input_scale = 1.0F;
};

struct Found {
  std::vector<std::uint8_t> codes;
  std::vector<float> row_scale;
};

void expect_row(const ValueRows& rows, std::size_t row, const Found& found) {
  const std::vector<float>& values = rows.values[row];
  const std::size_t num_rows = rows.values.size();
  float amax = 0.0F;
  bool is_finite = true;
  for (const float value : values) {
    is_finite = is_finite && std::isfinite(value);
    amax = std::max(amax, std::fabs(value));
  }
  if (!is_finite) {
    EXPECT_TRUE(std::isnan(found.row_scale[row]));
    return;
  }
  const bool is_static = rows.activation == Activation::kNvfp4Static;
  const float own = amax / kNvfp4Range == 0.0F ? 1.0F : amax / kNvfp4Range;
  const float scale2 = is_static ? rows.input_scale : own;
  const QuantizerRule rule = is_static ? rows.rule : QuantizerRule::kModelOpt;
  EXPECT_EQ(found.row_scale[row], rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2);
  std::vector<std::uint8_t> codes(rows.in_features / 2);
  std::vector<std::uint8_t> scales(rows.in_features / kNvfp4BlockSize);
  quantize_activation_row(values, rule, scale2, codes, scales);
  for (std::uint32_t k = 0; k < rows.in_features; k += 2) {
    ASSERT_EQ(found.codes[Layout::code_offset(num_rows, row, k)], codes[k / 2]) << "row " << row << ", column " << k;
  }
  for (std::uint32_t k = 0; k < (rows.in_features + 63) / 64 * 64; k += 16) {
    ASSERT_EQ(found.codes[Layout::scale_offset(num_rows, row, k)], k < rows.in_features ? scales[k / 16] : 0)
        << "row " << row << ", block " << k / 16;
  }
}

class QuantizeCodesTest : public ::testing::Test {
 protected:
  [[nodiscard]] Found run(const ValueRows& rows, QuantizeCodes quantize) const {
    const std::size_t num_rows = rows.values.size();
    const GpuArray<std::uint8_t> codes(queue_, Layout::num_bytes(num_rows, rows.in_features));
    const GpuArray<float> row_scale(queue_, num_rows);
    quantize.rows.activation = rows.activation;
    quantize.rows.rule = rows.rule;
    quantize.rows.num_rows = static_cast<std::uint32_t>(num_rows);
    quantize.rows.in_features = rows.in_features;
    quantize.rows.input_scale = rows.input_scale;
    quantize.rows.row_scale = row_scale.data();
    quantize.codes = codes.data();
    quantize.code_rows = num_rows;
    queue_.expect_ok(quantize_codes(quantize, queue_.get()));
    return {codes.host(), row_scale.host()};
  }
  void expect_exact_bf16(const ValueRows& rows) const {
    std::vector<Bf16Bits> bits;
    for (const auto& row : rows.values) {
      for (const float value : row) bits.push_back(encode_bf16(value));
    }
    const GpuArray<Bf16Bits> x(queue_, bits);
    QuantizeCodes quantize;
    quantize.rows.x = x.data();
    const Found found = run(rows, quantize);
    for (std::size_t row = 0; row < rows.values.size(); ++row) expect_row(rows, row, found);
  }
  void expect_exact_f32(const ValueRows& rows) const {
    std::vector<float> all;
    for (const auto& row : rows.values) all.insert(all.end(), row.begin(), row.end());
    const GpuArray<float> values(queue_, all);
    QuantizeCodes quantize;
    quantize.f32 = values.data();
    const Found found = run(rows, quantize);
    for (std::size_t row = 0; row < rows.values.size(); ++row) expect_row(rows, row, found);
  }

  // Blocks of every size, zeros of both signs; now and then a row that is not finite.
  ValueRows random_rows(Activation activation, QuantizerRule rule, std::size_t num_rows, std::uint32_t in_features,
                        float power, bool is_bf16) {
    ValueRows rows{activation, rule, in_features, {}, std::exp2(power) * 0.0007F};
    if (rule == QuantizerRule::kCompressedTensors && activation == Activation::kNvfp4Static) {
      rows.input_scale = 1.0F / rows.input_scale;
    }
    float unit = 1.0F;
    for (std::size_t row = 0; row < num_rows; ++row) {
      std::vector<float> values;
      for (std::uint32_t k = 0; k < in_features; ++k) {
        if (k % kNvfp4BlockSize == 0) unit = std::exp2(power + uniform(-14.0F, 6.0F));
        const float value = random_() % 16 == 0 ? -0.0F : unit * uniform(-1.0F, 1.0F);
        values.push_back(is_bf16 ? round_to_bf16(value) : value);
      }
      if (random_() % 8 == 0) values[random_() % in_features] = random_() % 2 == 0 ? INFINITY : NAN;
      rows.values.push_back(values);
    }
    return rows;
  }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_); }

  GpuQueue queue_;
  std::mt19937_64 random_{1};
};

TEST_F(QuantizeCodesTest, RowsOfEveryWidth) {
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t in_features : {16U, 48U, 64U, 272U, 1024U, 1040U, 4112U, 32768U}) {
        if (support::is_for_gpus_only(in_features, 2000)) continue;
        SCOPED_TRACE(std::string(activation_name(activation)) + ", " + std::to_string(in_features));
        const float power = uniform(-10.0F, 10.0F);
        expect_exact_bf16(random_rows(activation, rule, 9, in_features, power, true));
        expect_exact_f32(random_rows(activation, rule, 9, in_features, power, false));
        if (HasFatalFailure()) return;
      }
    }
  }
  if (!support::kIsEmulated) {
    expect_exact_bf16(random_rows(Activation::kNvfp4Dynamic, QuantizerRule::kModelOpt, 1100, 2064, 0.0F, true));
  }
}

TEST_F(QuantizeCodesTest, ScalesFarFromOne) {
  for (const float power : {-140.0F, -125.0F, -70.0F, 70.0F, 120.0F}) {
    for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
      for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
        ValueRows rows = random_rows(activation, rule, 5, 192, power, true);
        rows.input_scale = std::max(std::exp2(power) * 0.0007F, 0x1p-140F);
        expect_exact_bf16(rows);
        rows.input_scale = 0.01F;
        expect_exact_bf16(rows);
        expect_exact_f32(rows);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Every BF16 number in blocks that begin with the largest: ties, and what is below the least code.
TEST_F(QuantizeCodesTest, EveryBf16Number) {
  for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
    ValueRows rows{Activation::kNvfp4Static, rule, 1024, {}, rule == QuantizerRule::kModelOpt ? 0.0625F : 16.0F};
    const std::uint32_t step = support::kIsEmulated ? 7 : 1;
    std::vector<float> row;
    for (std::uint32_t bits = 0; bits < 0x10000; bits += step) {
      const float value = decode_bf16(static_cast<Bf16Bits>(bits));
      if (!std::isfinite(value) || std::fabs(value) > 0x1p20F) continue;
      if (row.size() % 16 == 0) row.push_back(6.0F);
      row.push_back(value);
      if (row.size() < rows.in_features) continue;
      rows.values.push_back(row);
      row.clear();
    }
    expect_exact_bf16(rows);
  }
}

TEST_F(QuantizeCodesTest, PairsUnderTheirExpertsScalesAndWeights) {
  constexpr std::uint32_t kTopK = 3;
  constexpr std::uint32_t kTokens = 11;
  const std::vector<float> scales = {0.002F, 0.001F, 0.0035F};
  std::vector<Bf16Bits> x_bits;
  std::vector<std::int32_t> pair_of_row;
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  for (std::uint32_t i = 0; i < kTokens * 320; ++i) x_bits.push_back(encode_bf16(uniform(-2.0F, 2.0F)));
  for (std::int32_t pair = 0; pair < static_cast<std::int32_t>(kTokens * kTopK); ++pair) {
    pair_of_row.push_back(pair % 7 == 3 ? -1 : pair);
    ids.push_back(static_cast<std::int32_t>(random_() % 3));
    weights.push_back(uniform(0.0F, 1.0F));
  }
  std::shuffle(pair_of_row.begin(), pair_of_row.end(), random_);
  const GpuArray<Bf16Bits> x(queue_, x_bits);
  const GpuArray<std::int32_t> pairs(queue_, pair_of_row), ids_there(queue_, ids);
  const GpuArray<float> scales_there(queue_, scales), weights_there(queue_, weights);
  QuantizeCodes quantize;
  quantize.rows.x = x.data();
  quantize.rows.pair_of_row = pairs.data();
  quantize.rows.top_k = kTopK;
  quantize.rows.expert_ids = ids_there.data();
  quantize.rows.lookup = {nullptr, 3, 3};
  quantize.rows.input_scales = scales_there.data();
  quantize.rows.router_weights = weights_there.data();
  ValueRows rows{Activation::kNvfp4Static, QuantizerRule::kModelOpt, 320, {}};
  rows.values.assign(pair_of_row.size(), std::vector<float>(320));
  const Found found = run(rows, quantize);
  for (std::size_t row = 0; row < pair_of_row.size(); ++row) {
    if (pair_of_row[row] < 0) continue;
    const auto pair = static_cast<std::size_t>(pair_of_row[row]);
    for (std::size_t k = 0; k < 320; ++k)
      rows.values[row][k] = decode_bf16(x_bits[pair / kTopK * 320 + k]) * weights[pair];
    rows.input_scale = scales[static_cast<std::size_t>(ids[pair])];
    expect_row(rows, row, found);
  }
}

}  // namespace
}  // namespace nvfp4::kernels
