#include "kernels/catalogue/linear_catalogue.h"

#include <fmt/format.h>

#include "kernels/cpu_portable/linear_loops.h"

namespace nvfp4::kernels {

std::span<const LinearKernel> linear_kernels() { return cpu_portable::linear_loops(); }

Result<LinearChoice> choose_linear(const LinearProblem& problem, const std::string& where) {
  LinearChoice choice;
  std::size_t num_accepting = 0;
  std::string refusals;
  for (const LinearKernel& kernel : linear_kernels()) {
    const std::string refusal = kernel.refusal(problem);
    if (refusal.empty()) {
      if (num_accepting++ == 0) choice.kernel = &kernel;
    } else {
      refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", kernel.name, refusal);
    }
  }
  if (num_accepting == 0) {
    return Error{
        ErrorCode::kUnsupported, where,
        fmt::format("no kernel serves {} weights [{}, {}] with {} activations ({})", weight_format_name(problem.weight),
                    problem.out_features, problem.in_features, activation_name(problem.activation), refusals)};
  }
  choice.reason = num_accepting == 1
                      ? fmt::format("the only kernel for {} weights and {} activations",
                                    weight_format_name(problem.weight), activation_name(problem.activation))
                      : fmt::format("the first of {} kernels for {} weights and {} activations", num_accepting,
                                    weight_format_name(problem.weight), activation_name(problem.activation));
  return choice;
}

}  // namespace nvfp4::kernels
