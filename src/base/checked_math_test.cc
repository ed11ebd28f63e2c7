#include "base/checked_math.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <random>

namespace nvfp4 {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
__extension__ using Wide = unsigned __int128;

TEST(CheckedMath, AgreesWithWideArithmetic) {
  std::mt19937_64 rng(1);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t a = rng() >> (rng() % 64);
    const std::uint64_t b = rng() >> (rng() % 64);
    const Wide sum = static_cast<Wide>(a) + b;
    const Wide product = static_cast<Wide>(a) * b;
    ASSERT_EQ(checked_add(a, b).has_value(), sum <= kMax);
    ASSERT_EQ(checked_mul(a, b).has_value(), product <= kMax);
    ASSERT_EQ(checked_sub(a, b).has_value(), a >= b);
    if (sum <= kMax) {
      ASSERT_EQ(*checked_add(a, b), a + b);
    }
    if (product <= kMax) {
      ASSERT_EQ(*checked_mul(a, b), a * b);
    }
    if (a >= b) {
      ASSERT_EQ(*checked_sub(a, b), a - b);
    }
  }
}

TEST(CheckedMath, Edges) {
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_mul(kMax, 1), kMax);
  EXPECT_EQ(checked_mul(kMax, 2), std::nullopt);
  EXPECT_EQ(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(checked_sub(0, 1), std::nullopt);
}

TEST(CheckedMath, ProductGoesFromLeftToRight) {
  EXPECT_EQ(checked_product({}), 1U);
  const std::array<std::uint64_t, 3> zero_last{kMax, 2, 0};
  const std::array<std::uint64_t, 3> zero_first{0, kMax, 2};
  EXPECT_EQ(checked_product(zero_last), std::nullopt);
  EXPECT_EQ(checked_product(zero_first), 0U);
}

}  // namespace
}  // namespace nvfp4
