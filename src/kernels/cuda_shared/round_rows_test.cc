// Rows of float32 as the device rounds them, against the quantisers of formats/: bit for bit.
#include "kernels/cuda_shared/round_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;

class RoundRowsTest : public ::testing::Test {
 protected:
  // Numbers that fit the scales of some experts, and are too large or too small for those of others.
  std::vector<float> random_rows(std::size_t num_rows, std::size_t num_cols, float power) {
    std::vector<float> h;
    float unit = 1.0F;
    for (std::size_t i = 0; i < num_rows * num_cols; ++i) {
      if (i % kNvfp4BlockSize == 0) unit = random_() % 8 == 0 ? 0.0F : std::exp2(power + uniform(-12.0F, 6.0F));
      h.push_back(random_() % 16 == 0 ? -0x1p-149F * static_cast<float>(random_() % 8) : unit * uniform(-1.0F, 1.0F));
    }
    return h;
  }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_); }

  void expect_exact(const std::vector<float>& h, std::uint32_t num_cols, QuantizerRule rule, bool is_static) {
    const auto num_rows = static_cast<std::uint32_t>(h.size() / num_cols);
    const std::vector<float> scales = {0.0007F, 1.0F, 3000.0F, 0x1p-70F};
    std::vector<std::int32_t> ids;
    for (std::uint32_t row = 0; row < num_rows; ++row) ids.push_back(static_cast<std::int32_t>(random_() % 5));
    const GpuArray<float> rows(queue_, h), input_scales(queue_, scales), factors(queue_, num_rows);
    const GpuArray<std::int32_t> expert_ids(queue_, ids);
    const GpuArray<Bf16Bits> values(queue_, h.size());
    RoundRows round;
    round.h = rows.data();
    round.num_rows = num_rows;
    round.num_cols = num_cols;
    round.expert_ids = expert_ids.data();
    round.lookup = {nullptr, 4, 4};
    round.ids_are_early = num_rows % 2 == 0;
    if (is_static) round.input_scales = input_scales.data();
    round.rule = rule;
    round.values = values.data();
    round.factors = factors.data();
    queue_.expect_ok(round_rows(round, queue_.get()));
    const auto found = values.host();
    const auto found_factors = factors.host();
    for (std::uint32_t row = 0; row < num_rows; ++row) {
      const std::size_t begin = std::size_t{row} * num_cols;
      if (ids[row] == 4) {
        EXPECT_EQ(found[begin], 0xA5A5) << "a row of an expert that is not here was written";
        continue;
      }
      expect_row(
          {h.begin() + static_cast<std::ptrdiff_t>(begin), h.begin() + static_cast<std::ptrdiff_t>(begin + num_cols)},
          is_static ? rule : QuantizerRule::kModelOpt, is_static ? scales[static_cast<std::size_t>(ids[row])] : 0.0F,
          {found.begin() + static_cast<std::ptrdiff_t>(begin), num_cols}, found_factors[row]);
      if (HasFatalFailure()) return;
    }
  }

  // stored: 0 for a dynamic scale.
  static void expect_row(const std::vector<float>& h, QuantizerRule rule, float stored, std::span<const Bf16Bits> found,
                         float factor) {
    float amax = 0.0F;
    bool is_finite = true;
    for (const float value : h) {
      amax = std::max(amax, std::fabs(value));
      is_finite = is_finite && std::isfinite(value);
    }
    if (!is_finite) {
      for (const Bf16Bits bits : found) ASSERT_TRUE(std::isnan(decode_bf16(bits)));
      return;
    }
    const float own = amax / kNvfp4Range;
    const float scale2 = stored != 0.0F ? stored : own == 0.0F ? 1.0F : own;
    ASSERT_EQ(factor, rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2);
    std::vector<std::uint8_t> codes(h.size() / 2);
    std::vector<std::uint8_t> block_scales(h.size() / kNvfp4BlockSize);
    quantize_activation_row(h, rule, scale2, codes, block_scales);
    for (std::size_t k = 0; k < h.size(); ++k) {
      const float number = decode_e2m1(unpack_e2m1(codes.data(), k)) * decode_e4m3(block_scales[k / kNvfp4BlockSize]);
      ASSERT_EQ(found[k], encode_bf16(number)) << "column " << k << ": " << h[k];
    }
  }

  GpuQueue queue_;
  std::mt19937_64 random_{1};
};

TEST_F(RoundRowsTest, RowsOfEveryWidth) {
  for (const bool is_static : {true, false}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_cols : {16U, 48U, 768U, 1040U, 1856U, 2064U, 8208U, 14336U}) {
        expect_exact(random_rows(num_cols < 1024 ? 10 : 5, num_cols, uniform(-6.0F, 6.0F)), num_cols, rule, is_static);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(RoundRowsTest, ManyRows) {
  for (const bool is_static : {true, false}) {
    for (const std::uint32_t num_cols : {48U, 1040U}) {
      expect_exact(random_rows(257, num_cols, 0.0F), num_cols, QuantizerRule::kModelOpt, is_static);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(RoundRowsTest, WhatIsNotFiniteMakesARowNan) {
  for (const bool is_static : {true, false}) {
    for (const float bad : {HUGE_VALF, -HUGE_VALF, NAN}) {
      for (const std::uint32_t num_cols : {112U, 1040U}) {
        std::vector<float> h = random_rows(6, num_cols, 0.0F);
        for (std::uint32_t row = 0; row < 6; row += 2) h[row * num_cols + random_() % num_cols] = bad;
        expect_exact(h, num_cols, QuantizerRule::kModelOpt, is_static);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
