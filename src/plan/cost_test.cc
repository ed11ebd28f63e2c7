// What plans say that layers take.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/planner.h"
#include "plan/test_plans.h"

namespace nvfp4::plan {
namespace {

using testing::HasSubstr;

double us_of(std::string_view line, std::string_view machine, std::uint32_t tokens) {
  const auto plan = planned({line}, machine);
  for (const KernelRange& range : plan->layers[0].ranges) {
    for (const ExpectedTime& time : range.times) {
      if (time.num_tokens == tokens) return time.us;
    }
  }
  return 0;
}

TEST(PlanCost, IsNeverLessThanReadingTheWeights) {
  for (const KnownDevice& device : known_devices()) {
    const double bytes = 4096.0 * 2048 * 9 / 16;
    EXPECT_GT(us_of(kDenseW4A16, device.key, 1), bytes / device.rates.memory_gb_per_s * 1e-3) << device.key;
    const double products = 2.0 * 8192 * 4096 * 2048;
    EXPECT_GT(us_of(kDenseW4A16, device.key, 8192), products / device.rates.bf16_tflops * 1e-6) << device.key;
  }
}
TEST(PlanCost, GrowsWithTokensWithinAKernel) {
  for (const std::string_view machine : {"sm80", "sm120", "cpu-avx512"}) {
    double before = 0;
    for (const std::uint32_t tokens : {1U, 8U, 64U, 512U, 4096U}) {
      const double us = us_of(kExpertsW4A4, machine, tokens);
      EXPECT_GE(us, before) << machine << " " << tokens;
      before = us;
    }
  }
}
TEST(PlanCost, TilingsAreThoseThatKernelsChoose) {
  const auto tiling = [](std::string_view line, std::string_view machine, std::size_t range_idx, std::uint32_t tokens) {
    const auto plan = planned({line}, machine);
    for (const ExpectedTime& time : plan->layers[0].ranges.at(range_idx).times) {
      if (time.num_tokens == tokens) return time.tiling;
    }
    return std::string("none");
  };
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 0, 8), "");
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 1, 256), "128 x 32");
  EXPECT_EQ(tiling(kExpertsW4A16, "sm90", 1, 4096), "256 x 128");
  EXPECT_EQ(tiling(kExpertsW4A4, "sm120", 0, 1), "32 x 8");
  EXPECT_EQ(tiling(kExpertsW4A4, "sm120", 0, 8192), "128 x 128");
  EXPECT_THAT(tiling(kDenseW4A4, "sm120", 0, 1), HasSubstr("32 x 8"));
  EXPECT_THAT(tiling(kDenseW4A16, "sm90", 1, 8192), HasSubstr("128 x 256"));
  EXPECT_THAT(tiling(kDenseW4A16, "sm80", 0, 8192), HasSubstr(" x "));
}
// Within a third of what was measured on an H200 (docs/benchmarks.md).
TEST(PlanCost, IsNearWhatWasMeasured) {
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 1), 11.7, 3.9);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 4), 34.8, 11.6);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 16), 70.5, 23);
  EXPECT_NEAR(us_of(kDenseW4A16, "sm90", 1), 3.8, 1.2);
  EXPECT_NEAR(us_of("1 a linear/w4a16/n25600/k5120", "sm90", 1), 26.4, 8.8);
  EXPECT_NEAR(us_of("1 a linear/w4a16/n8192/k8192", "sm90", 1), 15.8, 5.2);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 512), 159, 53);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 1024), 222, 74);
  EXPECT_NEAR(us_of(kExpertsW4A16, "sm90", 8192), 1240, 410);
}

}  // namespace
}  // namespace nvfp4::plan
