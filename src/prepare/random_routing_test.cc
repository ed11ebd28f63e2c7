#include "prepare/random_routing.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nvfp4::prepare {
namespace {

TEST(RandomRoutingOfLayers, ATokenDoesNotDependOnThoseThatFollow) {
  const RandomRouting few = random_routing(3, 64, 4, 7);
  const RandomRouting many = random_routing(100, 64, 4, 7);
  EXPECT_TRUE(std::equal(few.expert_ids.begin(), few.expert_ids.end(), many.expert_ids.begin()));
  EXPECT_TRUE(std::equal(few.weights.begin(), few.weights.end(), many.weights.begin()));
  EXPECT_NE(random_routing(3, 64, 4, 8).expert_ids, few.expert_ids);
}

}  // namespace
}  // namespace nvfp4::prepare
