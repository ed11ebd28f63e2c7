#include "kernels/cuda_shared/moe_rounding.h"

#include <algorithm>

#include "kernels/cuda_shared/quantize_activations.h"

namespace nvfp4::kernels {

bool is_rounded(const MoeProblem& problem) { return problem.activation != Activation::k16Bit; }

bool rounds_pairs(const MoeProblem& problem) {
  const bool scales_differ = problem.activation == Activation::kNvfp4Static && !problem.one_fc1_input_scale;
  return is_rounded(problem) && (scales_differ || problem.router_weight_on_input);
}

std::string rounding_refusal(const MoeProblem& problem) {
  const std::uint32_t most = std::max(problem.hidden, problem.intermediate);
  if (!is_rounded(problem) || most <= kMaxQuantizedFeatures) return {};
  return std::to_string(most) + " features; activations of at most " + std::to_string(kMaxQuantizedFeatures) +
         " can be rounded";
}

}  // namespace nvfp4::kernels
