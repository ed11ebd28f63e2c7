// What nvfp4 plan and nvfp4 selftest are given.
#pragma once

#include <string>
#include <vector>

#include "nvfp4/result.h"
#include "plan/inventory.h"
#include "plan/planner.h"

namespace CLI {
class App;
}

namespace nvfp4::apps {

struct PlanArguments {
  std::string directory, config_file, layers_file;
  std::string activations = "checkpoint";
  std::vector<std::string> kernels;
  plan::Deployment deployment;
};

void add_plan_arguments(CLI::App& parser, PlanArguments& arguments);

[[nodiscard]] bool names_a_model(const PlanArguments& arguments);
// `command` begins the Error when not exactly one model is given.
[[nodiscard]] Result<plan::Inventory> read_layers(const PlanArguments& arguments, const std::string& command);
[[nodiscard]] Result<plan::Deployment> deployment_of(const PlanArguments& arguments);

}  // namespace nvfp4::apps
