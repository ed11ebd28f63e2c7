#include "kernels/catalogue/device_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace nvfp4::kernels {
namespace {

using testing::HasSubstr;

struct Call {
  std::string_view kernel;
  std::uint32_t max_tokens;
  std::uint32_t num_tokens;
  DeviceWorkspace workspace;
};
std::vector<Call>& calls() {
  static std::vector<Call> all;
  return all;
}

// Kernels that only say that they were called: what is tested is which one is, and with what.
Status note(std::string_view name, const DeviceLinearPlan& plan, const DeviceLinearArgs& args,
            const DeviceWorkspace& workspace) {
  calls().push_back({name, plan.sizes.max_tokens, args.num_tokens, workspace});
  return {};
}
const std::array<DeviceLinearKernel, 2> kKernels = {{
    {"few", nullptr, nullptr,
     [](const DeviceLinearPlan& plan, const DeviceLinearWeight& /*weight*/, const DeviceLinearArgs& args,
        const DeviceWorkspace& workspace, DeviceStream /*stream*/) { return note("few", plan, args, workspace); }},
    {"many", nullptr, nullptr,
     [](const DeviceLinearPlan& plan, const DeviceLinearWeight& /*weight*/, const DeviceLinearArgs& args,
        const DeviceWorkspace& workspace, DeviceStream /*stream*/) { return note("many", plan, args, workspace); }},
}};

Result<const DeviceLinearKernel*> choose(std::uint32_t max_tokens) { return &kKernels.at(max_tokens <= 8 ? 0 : 1); }
Result<DeviceLinearPlan> plan(const DeviceLinearKernel& kernel, std::uint32_t max_tokens) {
  DeviceLinearPlan out;
  out.sizes.max_tokens = max_tokens;
  out.sizes.workspace_bytes = kernel.name == "few" ? 1024 : std::size_t{max_tokens} * 16;
  out.sizes.zeroed_bytes = kernel.name == "few" ? 512 : 0;
  return out;
}

TEST(DeviceSchedule, HasARangeForEachKernel) {
  for (const std::uint32_t max_tokens : {1U, 7U, 8U, 9U, 10U, 4097U}) {
    const auto schedule = DeviceLinearSchedule::make(max_tokens, choose, plan);
    ASSERT_TRUE(schedule.ok());
    ASSERT_EQ(schedule->ranges().size(), max_tokens <= 8 ? 1U : 2U) << max_tokens;
    EXPECT_EQ(schedule->ranges()[0].max_tokens, std::min(max_tokens, 8U));
    EXPECT_EQ(schedule->max_tokens(), max_tokens);
    for (std::uint32_t tokens = 1; tokens <= std::min(max_tokens, 20U); ++tokens) {
      EXPECT_EQ(schedule->range_of(tokens).kernel.name, tokens <= 8 ? "few" : "many");
    }
  }
}

TEST(DeviceSchedule, RunsTheKernelOfTheTokensWithItsPartOfTheWorkspace) {
  const auto schedule = DeviceLinearSchedule::make(1000, choose, plan);
  ASSERT_TRUE(schedule.ok());
  EXPECT_EQ(schedule->zeroed_bytes(), 512U);
  EXPECT_EQ(schedule->workspace_bytes(), 512U + 16000U);
  std::vector<std::byte> bytes(schedule->workspace_bytes());
  const DeviceWorkspace workspace{bytes.data(), bytes.size()};
  calls().clear();
  for (const std::uint32_t num_tokens : {0U, 1U, 8U, 9U, 1000U}) {
    EXPECT_TRUE(
        schedule->run(DeviceLinearWeight{}, DeviceLinearArgs{num_tokens, nullptr, nullptr}, workspace, nullptr));
  }
  ASSERT_EQ(calls().size(), 4U);
  EXPECT_EQ(calls()[1].kernel, "few");
  EXPECT_EQ(calls()[1].max_tokens, 8U);
  EXPECT_EQ(calls()[1].workspace.data, bytes.data());
  EXPECT_EQ(calls()[2].kernel, "many");
  EXPECT_EQ(calls()[2].max_tokens, 1000U);
  EXPECT_EQ(calls()[2].workspace.data, bytes.data() + 512);  // behind what must stay 0
  EXPECT_EQ(calls()[2].workspace.num_bytes, 16000U);
}

TEST(DeviceSchedule, RefusesMoreTokensAndTooSmallAWorkspace) {
  const auto schedule = DeviceLinearSchedule::make(100, choose, plan);
  ASSERT_TRUE(schedule.ok());
  const Status more = schedule->run(DeviceLinearWeight{}, DeviceLinearArgs{101, nullptr, nullptr}, {}, nullptr);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().to_string(), HasSubstr("101 tokens; the layer is planned for at most 100"));
  const Status small = schedule->run(DeviceLinearWeight{}, DeviceLinearArgs{50, nullptr, nullptr}, {}, nullptr);
  ASSERT_FALSE(small);
  EXPECT_THAT(small.error().to_string(), HasSubstr("workspace"));
}

TEST(DeviceSchedule, SaysWhatNoKernelServes) {
  const auto choose_few = [](std::uint32_t max_tokens) -> Result<const DeviceLinearKernel*> {
    if (max_tokens > 8) return Error{ErrorCode::kUnsupported, "layer", "too many"};
    return kKernels.data();
  };
  EXPECT_TRUE(DeviceLinearSchedule::make(8, choose_few, plan).ok());
  const auto schedule = DeviceLinearSchedule::make(100, choose_few, plan);
  ASSERT_FALSE(schedule.ok());
  EXPECT_THAT(schedule.error().to_string(), HasSubstr("too many"));
}

TEST(DeviceSchedule, AllKernelsReadOneLayout) {
  std::array<DeviceLinearKernel, 2> kernels = kKernels;
  const auto choose_of = [&](std::uint32_t max_tokens) -> Result<const DeviceLinearKernel*> {
    return &kernels.at(max_tokens <= 8 ? 0 : 1);
  };
  EXPECT_EQ(DeviceLinearSchedule::make(100, choose_of, plan)->nvfp4_layout(), DeviceWeightLayout::kFragment16x64);
  kernels[1].nvfp4_layout = DeviceWeightLayout::kBlockScaled16x64;
  EXPECT_TRUE(DeviceLinearSchedule::make(8, choose_of, plan).ok());
  const auto mixed = DeviceLinearSchedule::make(100, choose_of, plan);
  ASSERT_FALSE(mixed.ok());
  EXPECT_THAT(mixed.error().to_string(), HasSubstr("many: it reads weights in another layout than few"));
  kernels[0].nvfp4_layout = DeviceWeightLayout::kBlockScaled16x64;
  EXPECT_EQ(DeviceLinearSchedule::make(100, choose_of, plan)->nvfp4_layout(), DeviceWeightLayout::kBlockScaled16x64);
}

}  // namespace
}  // namespace nvfp4::kernels
