// Every instruction set's row kernels against float64 and against the loops, bit for bit where they promise that.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "kernels/catalogue/row_catalogue.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::Random;

constexpr double kUnit = 0x1p-24;

const RowKernels& loops() { return row_kernels(InstructionSet::kPortable); }

class RowKernelsTest : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!runs_here(GetParam())) GTEST_SKIP() << "this processor has no " << instruction_set_name(GetParam());
  }
  const RowKernels& rows_ = row_kernels(GetParam());
};

// Bits compare NaNs too.
std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

// Every 2^10th float32 of both signs: all exponents, infinities and NaNs.
std::vector<float> sampled_floats() {
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32U); bits += 1024) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits + (bits >> 10U) % 1024)));
  }
  return values;
}

TEST_P(RowKernelsTest, RoundingAndEncodingAreThoseOfTheFormats) {
  const std::vector<float> values = sampled_floats();
  std::vector<float> rounded = values;
  rows_.round_to_bf16(rounded.data(), rounded.size());
  std::vector<std::uint16_t> halves(values.size());
  std::vector<std::uint8_t> bytes(values.size());
  rows_.encode(KvElement::kBF16, values.data(), 3.0F, halves.data(), values.size());
  rows_.encode(KvElement::kFp8, values.data(), 3.0F, bytes.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(rounded[i]), std::bit_cast<std::uint32_t>(round_to_bf16(values[i])));
    ASSERT_EQ(halves[i], encode_bf16(values[i])) << values[i];
    ASSERT_EQ(bytes[i], encode_e4m3_saturating(values[i] / 3.0F)) << values[i];
  }
}

double gate_function(GateFunction f, double a) {
  if (f == GateFunction::kSilu) return a / (1 + std::exp(-a));
  return a / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
}

// exp() within 2.02 u, the sum and the quotient u each. Of gelu the exponent has five roundings, which exp() multiplies
// by its size. Where exp overflows the result is -0, off by less than 128 / 2^126.
TEST_P(RowKernelsTest, GatesAgreeWithFloat64OnEveryThousandthFloat) {
  const std::vector<float> values = sampled_floats();
  const std::vector<float> ones(values.size(), 1.0F);
  for (const GateFunction f : {GateFunction::kSilu, GateFunction::kGeluTanh}) {
    std::vector<float> y(values.size());
    rows_.gated(f, values.data(), ones.data(), y.data(), y.size(), Rounding::kNone);
    if (GetParam() == InstructionSet::kAvx512) {
      std::vector<float> half(values.size());
      row_kernels(InstructionSet::kAvx2)
          .gated(f, values.data(), ones.data(), half.data(), half.size(), Rounding::kNone);
      EXPECT_EQ(bits_of(half), bits_of(y)) << "AVX2";
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double a = values[i];
      const double expected = gate_function(f, a);
      if (std::isnan(a) || std::isinf(a)) {
        ASSERT_EQ(std::isnan(y[i]), std::isnan(a) || a < 0) << a;
        continue;
      }
      double bound = 4;
      if (f == GateFunction::kGeluTanh) bound += 5 * std::fabs(1.6 * (a + 0.044715 * a * a * a));
      bound = std::min(bound, 1e3) * 1.01 * kUnit * std::fabs(expected) + 0x1p-119;
      ASSERT_LE(std::fabs(y[i] - expected), bound) << a;
    }
  }
}

// y may be x, and rows have any length.
TEST_P(RowKernelsTest, ElementWiseOperationsAreTheLoopsBits) {
  Random random(1);
  for (std::size_t count = 0; count < 70; ++count) {
    std::vector<float> x = random.floats(count + 1, -3.0F, 3.0F);
    const std::vector<float> z = random.floats(count + 1, -3.0F, 3.0F);
    if (count > 3) x[3] = std::numeric_limits<float>::quiet_NaN();
    for (const Rounding rounding : {Rounding::kNone, Rounding::kBF16}) {
      const auto expect_same = [&](auto run) {
        std::vector<float> ours = x;
        std::vector<float> expected = x;
        run(rows_, ours);
        run(loops(), expected);
        EXPECT_EQ(bits_of(ours), bits_of(expected)) << count;
        EXPECT_EQ(ours[count], x[count]) << "behind the row";
      };
      using Values = std::vector<float>;
      expect_same([&](const RowKernels& k, Values& y) { k.add(z.data(), y.data(), count, rounding); });
      expect_same([&](const RowKernels& k, Values& y) { k.accumulate(0.37F, z.data(), y.data(), count); });
      expect_same([&](const RowKernels& k, Values& y) { k.relu2(y.data(), y.data(), count, rounding); });
      expect_same([&](const RowKernels& k, Values& y) { k.round_to_bf16(y.data(), count); });
      expect_same([&](const RowKernels& k, Values& y) {
        const std::size_t half = count / 4;
        k.rotate(y.data(), z.data(), z.data() + half, count < 4 ? 0 : 2, half, rounding);
      });
    }
  }
}

TEST_P(RowKernelsTest, GatesRoundBothTimes) {
  Random random(2);
  const std::vector<float> gate = random.floats(1000, -6.0F, 6.0F);
  const std::vector<float> up = random.floats(1000, -3.0F, 3.0F);
  const std::vector<float> ones(gate.size(), 1.0F);
  for (const GateFunction f : {GateFunction::kSilu, GateFunction::kGeluTanh}) {
    std::vector<float> exact(gate.size());
    std::vector<float> y = gate;
    rows_.gated(f, gate.data(), ones.data(), exact.data(), exact.size(), Rounding::kNone);
    rows_.gated(f, y.data(), up.data(), y.data(), y.size(), Rounding::kBF16);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], round_to_bf16(round_to_bf16(exact[i]) * up[i]));
  }
}

// Roundings: mean, mean + epsilon, sqrt, reciprocal, product, product.
TEST_P(RowKernelsTest, RmsNormAgreesWithFloat64) {
  Random random(3);
  for (const std::size_t count : {1U, 2U, 7U, 15U, 16U, 17U, 33U, 80U, 128U, 2048U}) {
    const std::vector<float> x = random.floats(3 * count, -2.0F, 2.0F);
    const std::vector<float> weight = random.floats(count, 0.3F, 2.0F);
    std::vector<float> y(x.size());
    rows_.rms_norm(x.data(), weight.data(), 1e-5F, y.data(), 3, count, Rounding::kNone);
    std::vector<float> rounded = x;
    rows_.rms_norm(rounded.data(), weight.data(), 1e-5F, rounded.data(), 3, count, Rounding::kBF16);
    for (std::size_t row = 0; row < 3; ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < count; ++i) sum += double{x[row * count + i]} * x[row * count + i];
      const double scale = 1 / std::sqrt(sum / static_cast<double>(count) + 1e-5F);
      for (std::size_t i = 0; i < count; ++i) {
        const double expected = x[row * count + i] * scale * weight[i];
        EXPECT_LE(std::fabs(y[row * count + i] - expected), 6.01 * kUnit * std::fabs(expected)) << count;
        EXPECT_LE(std::fabs(rounded[row * count + i] - expected), 2.02 * 0x1p-8 * std::fabs(expected)) << count;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, RowKernelsTest,
                         testing::Values(InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512),
                         [](const auto& set) { return std::string(instruction_set_name(set.param)); });

}  // namespace
}  // namespace nvfp4::kernels
