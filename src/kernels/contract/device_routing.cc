#include "kernels/contract/device_routing.h"

#include <fmt/format.h>

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels {

std::string router_limits_refusal(const RouterProblem& problem) {
  if (problem.num_experts == 0 || problem.num_experts > kMaxMoeExperts) {
    return fmt::format("{} experts; 1 to {} are possible", problem.num_experts, kMaxMoeExperts);
  }
  if (problem.num_groups == 0 || problem.num_experts % problem.num_groups != 0) {
    return fmt::format("{} experts do not make {} equal groups", problem.num_experts, problem.num_groups);
  }
  const std::uint32_t group_size = problem.num_experts / problem.num_groups;
  if (problem.num_groups > 1 && group_size < 2) return "groups of one expert; two are the least";
  if (problem.top_groups == 0 || problem.top_groups > problem.num_groups) {
    return fmt::format("{} groups of {} are chosen", problem.top_groups, problem.num_groups);
  }
  if (problem.top_k == 0 || problem.top_k > kMaxMoeTopK || problem.top_k > group_size * problem.top_groups) {
    return fmt::format("{} experts for each token; 1 to {} are possible, of {} in the chosen groups", problem.top_k,
                       kMaxMoeTopK, group_size * problem.top_groups);
  }
  return {};
}

}  // namespace nvfp4::kernels
