// The tested plan of a GPU: which kernels, problems and numbers of tokens are tested. What tests them is the caller's
// to say, so that this can be had without a GPU.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "device/device_caps.h"
#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "layers/device_selftest.h"
#include "layers/tested_plan.h"
#include "nvfp4/result.h"
#include "plan/machine.h"
#include "plan/planner.h"

namespace nvfp4::layers {

struct DeviceTestCase {
  std::string kernel;
  std::variant<kernels::DeviceLinearProblem, kernels::MoeProblem> problem;
  TestTokens tokens;
};
using DeviceTestRunner = std::function<Result<DeviceAnswer>(const DeviceTestCase& test)>;

// The kernel of that name, on the active device. The device outlives the runner.
[[nodiscard]] DeviceTestRunner run_on_device(const TestDevice& device);

// As make_plan(). Each kernel of each kind of layer gets, of the tokens that it serves, the fewest, a number between,
// the most, and the fewest of every tiling; layers of the same problem share a test.
[[nodiscard]] Result<TestedPlan> make_tested_device_plan(std::span<const plan::Layer> layers, const plan::Gpu& gpu,
                                                         const plan::Deployment& deployment,
                                                         const DeviceTestRunner& run);

// Every kernel of the catalogue that runs on the device, on each kind of weights and inputs that it takes, for few and
// many tokens, at sizes like those of models.
[[nodiscard]] Result<std::vector<KernelTest>> test_all_device_kernels(const DeviceCaps& caps,
                                                                      const DeviceTestRunner& run);

}  // namespace nvfp4::layers
