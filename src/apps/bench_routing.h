// Which experts the tokens of a call go to, where they are given and no router chooses them.
#pragma once

#include <cstdint>
#include <vector>

#include "apps/bench_problem.h"

namespace nvfp4::apps {

struct RandomRouting {
  std::vector<std::int32_t> expert_ids;  // [tokens, top_k], different ones, each set as likely as any other
  std::vector<float> weights;            // [tokens, top_k], softmax of random numbers
  std::uint32_t num_distinct = 0;        // experts that any token goes to
};

// `key` decides everything.
[[nodiscard]] RandomRouting random_routing(const BenchProblem& problem, std::uint64_t key);

// Of such routings, on average.
[[nodiscard]] double expected_distinct_experts(const BenchProblem& problem);

}  // namespace nvfp4::apps
