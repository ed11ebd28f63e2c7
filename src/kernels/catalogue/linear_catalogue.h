// Every linear kernel of this build, best first: the first one that the instruction set allows and that accepts a
// problem serves it.
#pragma once

#include <span>
#include <string>

#include "kernels/contract/linear.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

[[nodiscard]] std::span<const LinearKernel> linear_kernels();
// The same; what linear_kernels() is, unless a program brings its own list (linear_kernels.cc).
[[nodiscard]] std::span<const LinearKernel> built_in_linear_kernels();
// Null when none has that name.
[[nodiscard]] const LinearKernel* find_linear_kernel(std::string_view name);

// Empty when the kernel serves the problem where the instruction set is allowed, else why not, in words.
[[nodiscard]] std::string linear_kernel_refusal(const LinearKernel& kernel, const LinearProblem& problem,
                                                InstructionSet instruction_set);

struct LinearChoice {
  const LinearKernel* kernel = nullptr;
  std::string reason;  // why this one, in words
};

// An Error, with every kernel's refusal, when none serves the problem. `where` names the layer.
[[nodiscard]] Result<LinearChoice> choose_linear(const LinearProblem& problem, InstructionSet instruction_set,
                                                 const std::string& where);

}  // namespace nvfp4::kernels
