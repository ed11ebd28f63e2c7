#include "layers/profile.h"

#include <gtest/gtest.h>

#include <thread>

namespace nvfp4::layers {
namespace {

using namespace std::chrono_literals;

Profile::Clock::duration time_of(const Profile& profile, Profile::StepKind kind, Stage stage) {
  return profile.steps(kind).times[static_cast<std::size_t>(stage)];
}

TEST(Profile, SpansInsideOthersTakeTheirPartOut) {
  Profile profile;
  const auto began = Profile::Clock::now();
  profile.begin_step(Profile::StepKind::kDecode, 3);
  std::this_thread::sleep_for(2ms);
  {
    const ProfileSpan outer(&profile, Stage::kGateUp);
    std::this_thread::sleep_for(4ms);
    {
      const ProfileSpan inner(&profile, Stage::kActivation);
      std::this_thread::sleep_for(8ms);
    }
    std::this_thread::sleep_for(4ms);
  }
  profile.end_step();
  const auto elapsed = Profile::Clock::now() - began;
  const Profile::Steps& steps = profile.steps(Profile::StepKind::kDecode);
  EXPECT_EQ(steps.num_steps, 1U);
  EXPECT_EQ(steps.num_tokens, 3U);
  const auto rest = time_of(profile, Profile::StepKind::kDecode, Stage::kRest);
  const auto outer = time_of(profile, Profile::StepKind::kDecode, Stage::kGateUp);
  const auto inner = time_of(profile, Profile::StepKind::kDecode, Stage::kActivation);
  EXPECT_GE(rest, 2ms);
  EXPECT_GE(outer, 8ms);
  EXPECT_GE(inner, 8ms);
  EXPECT_EQ(steps.total(), rest + outer + inner);
  EXPECT_LE(steps.total(), elapsed) << "nothing is counted twice";
  const double linear = static_cast<double>(outer.count()) / static_cast<double>(steps.total().count());
  EXPECT_NEAR(steps.share_outside_linear(), 1 - linear, 1e-9);
}

TEST(Profile, KindsOfStepsAreApartAndOutsideOfThemNothingCounts) {
  Profile profile;
  profile.begin_step(Profile::StepKind::kPrefill, 7);
  profile.end_step();
  const auto counted = profile.steps(Profile::StepKind::kPrefill).total();
  {
    const ProfileSpan span(&profile, Stage::kHead);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(profile.steps(Profile::StepKind::kPrefill).total(), counted);
  EXPECT_EQ(profile.steps(Profile::StepKind::kPrefill).num_tokens, 7U);
  EXPECT_EQ(profile.steps(Profile::StepKind::kDecode).num_steps, 0U);
  EXPECT_EQ(profile.steps(Profile::StepKind::kDecode).share_outside_linear(), 0);
  const ProfileSpan nobody_asked(nullptr, Stage::kHead);
}

TEST(Profile, EveryStageHasAName) {
  for (std::size_t i = 0; i < kNumStages; ++i) EXPECT_NE(stage_name(static_cast<Stage>(i)), "") << i;
}

}  // namespace
}  // namespace nvfp4::layers
