// A plan for a processor whose kernels have computed a known answer (layers/selftest.h). One that was wrong serves
// nothing: it is refused by name, and the next candidate is planned and tested.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "kernels/contract/linear.h"
#include "layers/selftest.h"
#include "nvfp4/result.h"
#include "plan/planner.h"

namespace nvfp4::layers {

// One for all layers that differ in their rows alone.
struct KernelTest {
  std::string kernel;
  kernels::LinearProblem problem;
  std::vector<std::string> layer_kinds;
  double error = 0;

  [[nodiscard]] bool passed() const { return error < kSelftestTolerance; }
};

struct TestedPlan {
  plan::Plan plan;
  std::vector<KernelTest> tests;
  double ms = 0;  // of the tests
};

// As make_plan(). The machine is this processor; its workers are those of the pool.
[[nodiscard]] Result<TestedPlan> make_tested_plan(std::span<const plan::Layer> layers, const plan::Machine& machine,
                                                  plan::Deployment deployment, WorkerPool& pool);

// "linear_x computed a wrong answer (...) and serves nothing": a line for each kernel that the plan refused.
[[nodiscard]] std::vector<std::string> refusal_lines(const plan::Plan& plan);

// Every linear kernel of this build that runs under the instruction set, on each kind of weights and inputs that it
// takes, plain and by experts, at a number of columns that models have.
[[nodiscard]] Result<std::vector<KernelTest>> test_all_kernels(InstructionSet instruction_set, WorkerPool& pool);

}  // namespace nvfp4::layers
