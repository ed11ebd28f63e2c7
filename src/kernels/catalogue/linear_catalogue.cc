#include "kernels/catalogue/linear_catalogue.h"

#include <fmt/format.h>

#include "kernels/cpu_portable/linear_loops.h"

namespace nvfp4::kernels {

std::span<const LinearKernel> linear_kernels() { return cpu_portable::linear_loops(); }

Result<LinearChoice> choose_linear(const LinearProblem& problem, const std::string& where) {
  std::string refusals;
  for (const LinearKernel& kernel : linear_kernels()) {
    const std::string refusal = kernel.refusal(problem);
    if (refusal.empty()) {
      return LinearChoice{&kernel,
                          fmt::format("{} weights, {} activations: first kernel that serves them here",
                                      weight_format_name(problem.weight), activation_name(problem.activation))};
    }
    refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", kernel.name, refusal);
  }
  return Error{
      ErrorCode::kUnsupported, where,
      fmt::format("no kernel serves {} weights [{}, {}] with {} activations ({})", weight_format_name(problem.weight),
                  problem.out_features, problem.in_features, activation_name(problem.activation), refusals)};
}

}  // namespace nvfp4::kernels
