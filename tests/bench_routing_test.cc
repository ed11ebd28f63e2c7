// Random routings: k different experts for each token, all equally likely, weights that add up to one.
#include "apps/bench_routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iterator>
#include <set>
#include <vector>

namespace nvfp4::apps {
namespace {

BenchProblem problem_of(std::uint32_t num_tokens, std::uint32_t num_experts, std::uint32_t top_k) {
  BenchProblem problem;
  problem.operation = BenchProblem::Operation::kMoe;
  problem.num_tokens = num_tokens;
  problem.num_experts = num_experts;
  problem.top_k = top_k;
  return problem;
}

TEST(RandomRouting, TokensHaveDifferentExpertsAndWeightsOfSumOne) {
  for (const auto& problem :
       {problem_of(1, 128, 8), problem_of(77, 8, 8), problem_of(300, 512, 32), problem_of(5, 1, 1)}) {
    const prepare::RandomRouting routing = random_routing(problem, 3);
    ASSERT_EQ(routing.expert_ids.size(), std::size_t{problem.num_tokens} * problem.top_k);
    ASSERT_EQ(routing.weights.size(), routing.expert_ids.size());
    std::set<std::int32_t> all;
    for (std::size_t t = 0; t < problem.num_tokens; ++t) {
      std::set<std::int32_t> experts;
      double sum = 0;
      for (std::size_t j = 0; j < problem.top_k; ++j) {
        const std::int32_t expert = routing.expert_ids[t * problem.top_k + j];
        EXPECT_GE(expert, 0);
        EXPECT_LT(expert, static_cast<std::int32_t>(problem.num_experts));
        experts.insert(expert);
        EXPECT_GT(routing.weights[t * problem.top_k + j], 0.0F);
        sum += static_cast<double>(routing.weights[t * problem.top_k + j]);
      }
      EXPECT_EQ(experts.size(), problem.top_k);
      EXPECT_NEAR(sum, 1, 1e-5);
      all.insert(experts.begin(), experts.end());
    }
    EXPECT_EQ(routing.num_distinct, all.size());
  }
}

// Counts of 128 experts over 16,000 tokens: each is binomial, 1000 expected, deviation 30.6; 6 deviations are allowed.
TEST(RandomRouting, ExpertsAreEquallyLikely) {
  const prepare::RandomRouting routing = random_routing(problem_of(16000, 128, 8), 5);
  std::vector<int> counts(128);
  for (const std::int32_t expert : routing.expert_ids) ++counts[static_cast<std::size_t>(expert)];
  for (const int count : counts) EXPECT_NEAR(count, 1000, 6 * 30.6);
}

TEST(RandomRouting, TheKeyDecides) {
  const BenchProblem problem = problem_of(16, 128, 8);
  EXPECT_EQ(random_routing(problem, 1).expert_ids, random_routing(problem, 1).expert_ids);
  EXPECT_NE(random_routing(problem, 1).expert_ids, random_routing(problem, 2).expert_ids);
}

TEST(RandomRouting, DistinctExpertsAreAsExpected) {
  EXPECT_DOUBLE_EQ(expected_distinct_experts(problem_of(1, 128, 8)), 8);
  for (const std::uint32_t num_tokens : {4U, 16U, 64U}) {
    const BenchProblem problem = problem_of(num_tokens, 128, 8);
    double sum = 0;
    for (std::uint64_t key = 0; key < 200; ++key) sum += random_routing(problem, key).num_distinct;
    EXPECT_NEAR(sum / 200 / expected_distinct_experts(problem), 1, 0.02) << num_tokens;
  }
}

// A rank has the first 16 of 128 experts.
TEST(RandomRouting, OfOneRank) {
  BenchProblem rank = problem_of(64, 16, 8);
  rank.num_global_experts = 128;
  const prepare::RandomRouting routing = random_routing(rank, 1);
  EXPECT_EQ(routing.expert_ids, random_routing(problem_of(64, 128, 8), 1).expert_ids);
  const std::set<std::int32_t> all(routing.expert_ids.begin(), routing.expert_ids.end());
  EXPECT_EQ(routing.num_distinct, std::distance(all.begin(), all.lower_bound(16)));
  EXPECT_DOUBLE_EQ(expected_distinct_experts(rank) * 8, expected_distinct_experts(problem_of(64, 128, 8)));
}

}  // namespace
}  // namespace nvfp4::apps
