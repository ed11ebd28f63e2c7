#include "base/nearest_name.h"

#include <gtest/gtest.h>

#include <array>

namespace nvfp4 {
namespace {

constexpr std::array<std::string_view, 3> kKnown = {"sm80", "sm90", "moe_nvfp4_bf16_wgmma"};

TEST(NearestName, CountsLetters) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("sm90", "sm80"), 1U);
}

TEST(NearestName, FindsWhatWasMeant) {
  EXPECT_EQ(nearest_name("sm9O", kKnown), "sm90");
  EXPECT_EQ(nearest_name("moe_nvfp4_bf16_wgma", kKnown), "moe_nvfp4_bf16_wgmma");
  EXPECT_EQ(nearest_name("zebra", kKnown), "");
  EXPECT_EQ(nearest_name("sm90", {}), "");
}

TEST(NearestName, SuggestsOneOrListsAll) {
  EXPECT_EQ(suggestion("sm9", kKnown), "did you mean \"sm90\"?");
  EXPECT_EQ(suggestion("zebra", kKnown), "there are sm80, sm90, moe_nvfp4_bf16_wgmma");
}

}  // namespace
}  // namespace nvfp4
