// A layer for any number of tokens: one workspace, and the bits of the kernel that serves so many.
#include <gtest/gtest.h>

#include <map>
#include <span>
#include <vector>

#include "kernels/catalogue/device_catalogue.h"
#include "kernels/catalogue/device_schedule.h"
#include "support/gpu_moe.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuMoe;
using support::GpuQueue;
using support::MoeSpec;
using support::Random;
using support::RandomMoe;

constexpr std::uint32_t kMaxTokens = 500;

TEST(DeviceScheduleRuns, EveryNumberOfTokensOverOneWorkspace) {
  const GpuQueue queue;
  Random random(1);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    MoeSpec spec;
    spec.num_tokens = kMaxTokens;
    spec.problem.activation = activation;
    spec.problem.hidden = 256;
    spec.problem.intermediate = 128;
    spec.problem.num_experts = 12;
    spec.problem.top_k = 3;
    const RandomMoe moe(spec, random);
    const GpuMoe gpu(queue, moe);
    const auto schedule = GpuQueue::must(schedule_device_moe(spec.problem, gpu.caps(), kMaxTokens, "experts"));
    ASSERT_FALSE(schedule.ranges().empty());
    const GpuArray<std::byte> workspace(queue, schedule.workspace_bytes());
    const std::vector<double> expected = moe.reference();
    std::map<std::uint32_t, std::vector<Bf16Bits>> answers;
    // From one range to the other and back: what a run leaves in the workspace harms no other.
    for (const std::uint32_t num_tokens : {1U, kMaxTokens, 64U, 65U, 2U, 130U, 64U, 1U, kMaxTokens}) {
      const auto found = gpu.run(0, num_tokens, [&](const DeviceMoeWeights& weights, const DeviceMoeArgs& args) {
        return schedule.run(weights, args, {workspace.data(), schedule.workspace_bytes()}, queue.get());
      });
      const std::span first(expected.data(), std::size_t{num_tokens} * spec.problem.hidden);
      const double most = activation == Activation::k16Bit ? 0x1p-8 : 0x1p-8 + 8e-3;  // steps of E2M1
      EXPECT_LE(reference::relative_error(found, first), most) << num_tokens;
      EXPECT_TRUE(answers.try_emplace(num_tokens, found).first->second == found) << num_tokens;
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
