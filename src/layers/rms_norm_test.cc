#include "layers/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::OwnContext;
using support::Random;

std::vector<double> float64_norm(std::span<const float> x, std::span<const float> weight, double epsilon) {
  double sum = 0;
  for (const float value : x) sum += double{value} * value;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + epsilon);
  std::vector<double> y;
  for (std::size_t i = 0; i < x.size(); ++i) y.push_back(x[i] * scale * weight[i]);
  return y;
}

// Roundings of relative size u on the way to y: mean, mean + eps, sqrt, reciprocal, product, product. In BF16 the last
// two have u = 2^-8.
TEST(RmsNorm, AgreesWithFloat64) {
  Random random(1);
  for (const std::size_t size : {1, 2, 7, 64, 192, 2048}) {
    for (const float magnitude : {1e-6F, 1e-3F, 1.0F, 300.0F, 1e18F}) {
      const std::vector<float> x = random.floats(size, -magnitude, magnitude);
      const std::vector<float> weight = random.floats(size, 0.3F, 2.0F);
      const RmsNorm norm(weight, 1e-5F);
      const std::vector<double> expected = float64_norm(x, weight, 1e-5F);
      for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
        const double bound = precision == Precision::kF32 ? 6 * 0x1p-24 : 2.01 * 0x1p-8;
        std::vector<float> y(size);
        norm.apply(x.data(), y.data(), 1, OwnContext(precision));
        for (std::size_t i = 0; i < size; ++i) {
          EXPECT_LE(std::fabs(y[i] - expected[i]), 1.001 * bound * std::fabs(expected[i])) << size << ", " << magnitude;
          if (precision == Precision::kF32) continue;
          EXPECT_EQ(y[i], round_to_bf16(y[i]));
        }
      }
    }
  }
}

// BF16 models round the normed value before they multiply with the weight: 1 + 2^-8 would be lost otherwise.
TEST(RmsNorm, RoundsBeforeAndAfterTheWeight) {
  const RmsNorm norm({3.0F, 3.0F}, 0.0F);
  const std::vector<float> x = {1.0F + 0x1p-8F + 0x1p-12F, -1.0F};
  std::vector<float> y(2);
  norm.apply(x.data(), y.data(), 1, OwnContext(Precision::kBF16));
  const float scale = 1 / std::sqrt((x[0] * x[0] + 1) / 2);
  EXPECT_EQ(y[0], round_to_bf16(round_to_bf16(x[0] * scale) * 3.0F));
  EXPECT_EQ(y[1], round_to_bf16(round_to_bf16(-scale) * 3.0F));
}

TEST(RmsNorm, ZerosStayZeroAndNaNStaysNaN) {
  const RmsNorm norm({1.0F, 2.0F, 3.0F}, 1e-6F);
  std::vector<float> y(3);
  norm.apply(std::vector<float>(3, 0.0F).data(), y.data(), 1, OwnContext(Precision::kBF16));
  EXPECT_EQ(y, std::vector<float>(3, 0.0F));
  norm.apply(std::vector<float>{1.0F, NAN, 1.0F}.data(), y.data(), 1, OwnContext(Precision::kBF16));
  for (const float value : y) EXPECT_TRUE(std::isnan(value));
}

TEST(RmsNorm, RowsAreIndependentAndInPlaceIsTheSame) {
  Random random(2);
  const RmsNorm norm(random.floats(48, 0.5F, 1.5F), 1e-6F);
  std::vector<float> x = random.floats(11 * 48, -2.0F, 2.0F);
  std::vector<float> y(x.size());
  norm.run(x, y, OwnContext(Precision::kF32, 3));
  std::vector<float> row(48);
  for (std::size_t t = 0; t < 11; ++t) {
    norm.apply(x.data() + t * 48, row.data(), 1, OwnContext(Precision::kF32));
    EXPECT_TRUE(std::equal(row.begin(), row.end(), y.begin() + static_cast<std::ptrdiff_t>(t * 48)));
  }
  norm.run(x, x, OwnContext(Precision::kF32, 1));
  EXPECT_EQ(x, y);
}

}  // namespace
}  // namespace nvfp4::layers
