#include "apps/bench_routing.h"

#include <cmath>

namespace nvfp4::apps {

prepare::RandomRouting random_routing(const BenchProblem& problem, std::uint64_t key) {
  return prepare::random_routing(problem.num_tokens, problem.num_experts, problem.top_k, key);
}

double expected_distinct_experts(const BenchProblem& problem) {
  const double missed = 1 - static_cast<double>(problem.top_k) / problem.num_experts;
  return problem.num_experts * (1 - std::pow(missed, problem.num_tokens));
}

}  // namespace nvfp4::apps
