#include "layers/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::OwnContext;
using support::Random;

double frequency(std::uint32_t i, std::uint32_t head_dim, double theta) {
  return 1.0 / std::pow(theta, 2.0 * i / head_dim);
}

// One rounding to float32; 2^-23 also forgives the last place of pow().
void expect_frequency(float ours, double expected) { EXPECT_NEAR(ours / expected, 1.0, 0x1p-23); }

TEST(Rope, DefaultFrequenciesArePowersOfTheta) {
  for (const std::uint32_t head_dim : {2U, 16U, 64U, 128U}) {
    for (const double theta : {1e4, 5e5, 1e6}) {
      const Rope rope(head_dim, theta, {});
      ASSERT_EQ(rope.frequencies().size(), head_dim / 2);
      EXPECT_EQ(rope.frequencies()[0], 1.0F);
      for (std::uint32_t i = 0; i < head_dim / 2; ++i) {
        expect_frequency(rope.frequencies()[i], frequency(i, head_dim, theta));
      }
    }
  }
}

TEST(Rope, LinearScalingDividesEveryFrequency) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLinear;
  scaling.factor = 2.5;
  const Rope rope(64, 1e4, scaling);
  for (std::uint32_t i = 0; i < 32; ++i) expect_frequency(rope.frequencies()[i], frequency(i, 64, 1e4) / 2.5);
}

TEST(Rope, Llama3ScalingHasThreeBranches) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = 8;
  scaling.low_frequency_factor = 1;
  scaling.high_frequency_factor = 4;
  scaling.original_max_positions = 8192;
  const Rope rope(128, 5e5, scaling);
  int num_kept = 0;
  int num_divided = 0;
  int num_blended = 0;
  for (std::uint32_t i = 0; i < 64; ++i) {
    const double f = frequency(i, 128, 5e5);
    const double wavelength = 2 * std::numbers::pi / f;
    double expected = 0;
    if (wavelength < 8192.0 / 4) {
      expected = f;
      ++num_kept;
    } else if (wavelength > 8192.0 / 1) {
      expected = f / 8;
      ++num_divided;
    } else {
      const double s = (8192.0 / wavelength - 1) / (4 - 1);
      expected = (1 - s) * f / 8 + s * f;
      ++num_blended;
      EXPECT_LT(expected, f);
      EXPECT_GT(expected, f / 8);
    }
    expect_frequency(rope.frequencies()[i], expected);
  }
  EXPECT_GT(num_kept, 20);
  EXPECT_GT(num_divided, 20);
  EXPECT_GT(num_blended, 3);
}

// Known points of the blend: at wavelength original / low it is f / factor, at original / high it is f.
TEST(Rope, Llama3ScalingIsContinuous) {
  for (const double edge : {8192.0, 2048.0}) {
    RopeScaling scaling{RopeScaling::Kind::kLlama3, 8, 1, 4, 8192};
    const double f = 2 * std::numbers::pi / edge;
    // head_dim 4 has frequencies 1 and theta^-0.5.
    const double theta = 1 / (f * f);
    const Rope below(4, theta * (1 - 1e-9), scaling);
    const Rope above(4, theta * (1 + 1e-9), scaling);
    EXPECT_NEAR(below.frequencies()[1] / above.frequencies()[1], 1.0, 1e-6);
    EXPECT_NEAR(below.frequencies()[1] / (edge == 2048.0 ? f : f / 8), 1.0, 1e-6);
  }
}

TEST(Rope, AnglesAreTheFloat32ProductOfPositionAndFrequency) {
  const Rope rope(64, 1e6, {});
  std::vector<float> cosines(32), sines(32);
  for (const std::uint32_t position : {0U, 1U, 17U, 4095U, 131071U}) {
    rope.angles(position, cosines.data(), sines.data(), OwnContext(Precision::kF32));
    for (std::size_t i = 0; i < 32; ++i) {
      const float angle = static_cast<float>(position) * rope.frequencies()[i];
      EXPECT_NEAR(cosines[i], std::cos(double{angle}), 0x1p-24);
      EXPECT_NEAR(sines[i], std::sin(double{angle}), 0x1p-24);
    }
    rope.angles(position, cosines.data(), sines.data(), OwnContext(Precision::kBF16));
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(cosines[i], round_to_bf16(cosines[i]));
  }
}

TEST(Rope, RotatesDimensionIWithItsPartnerInTheOtherHalf) {
  const Rope rope(8, 1e4, {});
  Random random(3);
  std::vector<float> cosines(4), sines(4);
  rope.angles(11, cosines.data(), sines.data(), OwnContext(Precision::kF32));
  const std::vector<float> head = random.floats(8, -2.0F, 2.0F);
  std::vector<float> rotated = head;
  rotate_heads(rotated.data(), 1, 8, cosines.data(), sines.data(), OwnContext(Precision::kF32));
  for (std::size_t i = 0; i < 4; ++i) {
    const double c = cosines[i];
    const double s = sines[i];
    // Two products and a sum of numbers up to 2.
    EXPECT_NEAR(rotated[i], head[i] * c - head[i + 4] * s, 4 * 3 * 0x1p-24);
    EXPECT_NEAR(rotated[i + 4], head[i + 4] * c + head[i] * s, 4 * 3 * 0x1p-24);
  }
  rotate_heads(rotated.data(), 1, 8, cosines.data(), sines.data(), OwnContext(Precision::kBF16));
  for (const float value : rotated) EXPECT_EQ(value, round_to_bf16(value));
}

TEST(Rope, PositionZeroChangesNothing) {
  const Rope rope(16, 1e4, {});
  std::vector<float> cosines(8), sines(8);
  rope.angles(0, cosines.data(), sines.data(), OwnContext(Precision::kBF16));
  std::vector<float> head = {1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, -5, -6, -7, -8};
  const std::vector<float> before = head;
  rotate_heads(head.data(), 1, 16, cosines.data(), sines.data(), OwnContext(Precision::kBF16));
  EXPECT_EQ(head, before);
}

// Scores depend on the distance of two positions only.
TEST(Rope, ScoresDependOnTheDistance) {
  const Rope rope(32, 1e4, {});
  Random random(4);
  const std::vector<float> q = random.floats(32, -1, 1);
  const std::vector<float> k = random.floats(32, -1, 1);
  const auto score = [&](std::uint32_t q_position, std::uint32_t k_position) {
    std::vector<float> cosines(16), sines(16), a = q, b = k;
    const OwnContext context(Precision::kF32);
    rope.angles(q_position, cosines.data(), sines.data(), context);
    rotate_heads(a.data(), 1, 32, cosines.data(), sines.data(), context);
    rope.angles(k_position, cosines.data(), sines.data(), context);
    rotate_heads(b.data(), 1, 32, cosines.data(), sines.data(), context);
    double sum = 0;
    for (std::size_t i = 0; i < 32; ++i) sum += double{a[i]} * b[i];
    return sum;
  };
  EXPECT_NEAR(score(5, 2), score(105, 102), 1e-4);
  EXPECT_GT(std::fabs(score(5, 2) - score(5, 3)), 1e-3);
}

}  // namespace
}  // namespace nvfp4::layers
