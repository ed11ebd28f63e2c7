#include "apps/plan_arguments.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "apps/command.h"
#include "apps/input.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {

void add_plan_arguments(CLI::App& parser, PlanArguments& arguments) {
  parser.add_option("DIR", arguments.directory, "checkpoint directory, or a Hugging Face id in the local cache");
  parser.add_option("--config", arguments.config_file, "a config.json in place of a checkpoint");
  parser.add_option("--layers", arguments.layers_file, "lines COUNT KIND PROBLEM in place of a checkpoint");
  parser
      .add_option("--activations", arguments.activations,
                  "checkpoint: as the file asks; w4a16: 16-bit everywhere; w4a4: FP4 in every NVFP4 layer")
      ->check(CLI::IsMember({"checkpoint", "w4a16", "w4a4"}));
  parser.add_option("--kernel", arguments.kernels, "LAYERKIND[:SCHEME]=NAME: this kernel and no other")
      ->allow_extra_args(false);
}

bool names_a_model(const PlanArguments& arguments) {
  return !arguments.directory.empty() || !arguments.config_file.empty() || !arguments.layers_file.empty();
}

Result<plan::Inventory> read_layers(const PlanArguments& arguments, const std::string& command) {
  const int num_given = !arguments.directory.empty() + !arguments.config_file.empty() + !arguments.layers_file.empty();
  if (num_given != 1) {
    return Error{ErrorCode::kInvalidArgument, command,
                 "give a checkpoint directory, or --config FILE, or --layers FILE; see --help"};
  }
  if (!arguments.directory.empty()) {
    auto directory = model_directory(arguments.directory);
    NVFP4_RETURN_IF_ERROR(directory);
    const auto checkpoint = Checkpoint::open(*directory);
    NVFP4_RETURN_IF_ERROR(checkpoint);
    return plan::layers_of(*checkpoint, directory->string());
  }
  const bool is_config = !arguments.config_file.empty();
  const std::string& file = is_config ? arguments.config_file : arguments.layers_file;
  auto text = read_text(file);
  NVFP4_RETURN_IF_ERROR(text);
  return is_config ? plan::layers_of_config(*text, file) : plan::parse_layers(*text, file);
}

Result<plan::Deployment> deployment_of(const PlanArguments& arguments) {
  plan::Deployment deployment = arguments.deployment;
  if (arguments.activations == "w4a16") deployment.activations = plan::ActivationRequest::kW4A16;
  if (arguments.activations == "w4a4") deployment.activations = plan::ActivationRequest::kW4A4;
  for (const std::string& text : arguments.kernels) {
    auto forced = plan::parse_forced_kernel(text);
    NVFP4_RETURN_IF_ERROR(forced);
    deployment.forced.push_back(std::move(forced).value());
  }
  return deployment;
}

}  // namespace nvfp4::apps
