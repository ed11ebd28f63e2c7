// Copies of weights that take turns on a device: cold ones are cold, and all of them fit.
#include "apps/bench_rotation.h"

#include <gtest/gtest.h>

namespace nvfp4::apps {
namespace {

RotationNeeds needs(double touched_mb, double copy_mb, double affordable_mb = 60000) {
  return {touched_mb * 1e6, copy_mb * 1e6, affordable_mb * 1e6, 62'900'000, false};
}

TEST(Rotation, MoreThanFourCachesLieBetweenTwoUsesOfACopy) {
  for (const double touched_mb : {0.3, 1.0, 4.7, 21.2, 73.7, 340.0, 5000.0}) {
    const RotationNeeds wanted = needs(touched_mb, touched_mb);
    const Rotation rotation = choose_rotation(wanted);
    EXPECT_GT(static_cast<double>(rotation.num_copies - 1) * wanted.touched_bytes, 4.0 * 62'900'000) << touched_mb;
    EXPECT_GE(rotation.num_calls, 16U);
    EXPECT_GE(rotation.num_calls, rotation.num_copies);
    EXPECT_EQ(rotation.num_calls % rotation.num_copies, 0U) << "the first copy follows the last";
  }
  EXPECT_EQ(choose_rotation(needs(21.2, 340)).num_copies, 13U);
  EXPECT_EQ(choose_rotation(needs(340, 340)).num_copies, 2U);
}

TEST(Rotation, CopiesFitIntoMemory) {
  EXPECT_EQ(choose_rotation(needs(21.2, 340, 1700)).num_copies, 5U);
  EXPECT_EQ(choose_rotation(needs(21.2, 340, 340)).num_copies, 1U);
  EXPECT_EQ(choose_rotation(needs(0.001, 0.001)).num_copies, 2048U) << "no end of tiny ones";
}

TEST(Rotation, AGraphIsLongEnoughAndNotTooLong) {
  EXPECT_EQ(choose_rotation(needs(340, 340)).num_calls, 16U);
  EXPECT_GE(static_cast<double>(choose_rotation(needs(21.2, 340)).num_calls) * 21.2e6, 2e9);
  EXPECT_LE(choose_rotation(needs(4.7, 4.7)).num_calls, 256U + 55U);
}

TEST(Rotation, HotIsOneCopy) {
  RotationNeeds wanted = needs(4.7, 4.7);
  wanted.hot = true;
  EXPECT_EQ(choose_rotation(wanted).num_copies, 1U);
  EXPECT_EQ(choose_rotation(wanted).num_calls, 256U);
}

}  // namespace
}  // namespace nvfp4::apps
