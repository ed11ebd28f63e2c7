// A plan whose kernels have computed a known answer (layers/selftest.h; of GPUs layers/device_selftest.h). One that was
// wrong serves nothing: it is refused by name, and the next candidate is planned and tested.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/worker_pool.h"
#include "kernels/contract/linear.h"
#include "layers/selftest.h"
#include "nvfp4/result.h"
#include "plan/planner.h"

namespace nvfp4::layers {

// One for all layers of a problem that a kernel serves; on a processor, for all that differ in their rows alone.
struct KernelTest {
  std::string kernel;
  kernels::LinearProblem problem;  // of experts on a GPU: of gate and up
  std::vector<std::string> layer_kinds;
  double error = 0;
  double tolerance = kSelftestTolerance;
  std::vector<std::uint32_t> num_tokens;  // on a GPU: each a call of its own

  [[nodiscard]] bool passed() const { return error <= tolerance; }
};

struct TestedPlan {
  plan::Plan plan;
  std::vector<KernelTest> tests;
  double ms = 0;  // of the tests
};

// As make_plan(), again and again until no test is wrong. test(plan): all tests so far, those of the plan's kernels
// among them.
using TestPlan = std::function<Result<std::span<const KernelTest>>(const plan::Plan& plan)>;
[[nodiscard]] Result<TestedPlan> make_tested_plan(std::span<const plan::Layer> layers, const plan::Machine& machine,
                                                  plan::Deployment deployment, const TestPlan& test);

// The machine is this processor; its workers are those of the pool.
[[nodiscard]] Result<TestedPlan> make_tested_plan(std::span<const plan::Layer> layers, const plan::Machine& machine,
                                                  plan::Deployment deployment, WorkerPool& pool);

// "linear_x computed a wrong answer (...) and serves nothing": a line for each kernel that the plan refused.
[[nodiscard]] std::vector<std::string> refusal_lines(const plan::Plan& plan);

// Every linear kernel of this build that runs under the instruction set, on each kind of weights and inputs that it
// takes, plain and by experts, at a number of columns that models have.
[[nodiscard]] Result<std::vector<KernelTest>> test_all_kernels(InstructionSet instruction_set, WorkerPool& pool);

}  // namespace nvfp4::layers
