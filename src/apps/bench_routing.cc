#include "apps/bench_routing.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace nvfp4::apps {

prepare::RandomRouting random_routing(const BenchProblem& problem, std::uint64_t key) {
  prepare::RandomRouting routing = prepare::random_routing(problem.num_tokens, problem.num_ids(), problem.top_k, key);
  if (problem.num_ids() == problem.num_experts) return routing;
  std::vector<bool> is_chosen(problem.num_ids());
  for (const std::int32_t expert : routing.expert_ids) is_chosen[static_cast<std::size_t>(expert)] = true;
  routing.num_distinct =
      static_cast<std::uint32_t>(std::count(is_chosen.begin(), is_chosen.begin() + problem.num_experts, true));
  return routing;
}

double expected_distinct_experts(const BenchProblem& problem) {
  const double missed = 1 - static_cast<double>(problem.top_k) / problem.num_ids();
  return problem.num_experts * (1 - std::pow(missed, problem.num_tokens));
}

}  // namespace nvfp4::apps
