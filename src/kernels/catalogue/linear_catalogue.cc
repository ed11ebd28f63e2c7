#include "kernels/catalogue/linear_catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu_portable/linear_loops.h"
#if NVFP4_X86
#include "kernels/cpu_avx2/nvfp4_linear.h"
#include "kernels/cpu_avx2/plain_linear.h"
#include "kernels/cpu_avx512/nvfp4_linear.h"
#include "kernels/cpu_avx512/plain_linear.h"
#endif

namespace nvfp4::kernels {
namespace {

std::vector<LinearKernel> all_kernels() {
  std::vector<LinearKernel> kernels;
  const auto add = [&](std::span<const LinearKernel> more) { kernels.insert(kernels.end(), more.begin(), more.end()); };
#if NVFP4_X86
  add(cpu_avx512::nvfp4_linear());
  add(cpu_avx512::plain_linear());
  add(cpu_avx2::nvfp4_linear());
  add(cpu_avx2::plain_linear());
#endif
  add(cpu_portable::linear_loops());
  return kernels;
}

}  // namespace

std::span<const LinearKernel> built_in_linear_kernels() {
  static const std::vector<LinearKernel> kernels = all_kernels();
  return kernels;
}

const LinearKernel* find_linear_kernel(std::string_view name) {
  const std::span<const LinearKernel> kernels = linear_kernels();
  const auto found = std::find_if(kernels.begin(), kernels.end(), [&](const auto& each) { return each.name == name; });
  return found == kernels.end() ? nullptr : &*found;
}

std::string linear_kernel_refusal(const LinearKernel& kernel, const LinearProblem& problem,
                                  InstructionSet instruction_set) {
  if (kernel.needs > instruction_set) {
    return fmt::format("needs {}, this run has {}", instruction_set_name(kernel.needs),
                       instruction_set_name(instruction_set));
  }
  return kernel.refusal(problem);
}

Result<LinearChoice> choose_linear(const LinearProblem& problem, InstructionSet instruction_set,
                                   const std::string& where) {
  LinearChoice choice;
  std::size_t num_accepting = 0;
  std::string refusals;
  for (const LinearKernel& kernel : linear_kernels()) {
    const std::string refusal = linear_kernel_refusal(kernel, problem, instruction_set);
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
