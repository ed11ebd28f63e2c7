// Which experts the tokens of a call go to, where they are given and no router chooses them.
#pragma once

#include <cstdint>

#include "apps/bench_problem.h"
#include "prepare/random_routing.h"

namespace nvfp4::apps {

// Among the experts of all ranks; num_distinct counts those that are here. `key` decides everything.
[[nodiscard]] prepare::RandomRouting random_routing(const BenchProblem& problem, std::uint64_t key);

// Of such routings, on average.
[[nodiscard]] double expected_distinct_experts(const BenchProblem& problem);

}  // namespace nvfp4::apps
