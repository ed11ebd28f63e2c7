// nvfp4 plan DIR: which kernel will serve each layer on this machine or on another one, and why not the others.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/here.h"
#include "apps/input.h"
#include "apps/plan_json.h"
#include "nvfp4/checkpoint.h"
#include "plan/inventory.h"
#include "plan/plan_text.h"
#include "plan/planner.h"

namespace nvfp4::apps {
namespace {

struct Options {
  std::string directory, config_file, layers_file;
  std::string device = "cpu";
  std::string activations = "checkpoint";
  std::vector<std::string> kernels;
  plan::Deployment deployment;
  bool json = false;
  bool short_lines = false;
};

Result<plan::Inventory> read_layers(const Options& options) {
  const int num_given = !options.directory.empty() + !options.config_file.empty() + !options.layers_file.empty();
  if (num_given != 1) {
    return Error{ErrorCode::kInvalidArgument, "nvfp4 plan",
                 "give a checkpoint directory, or --config FILE, or --layers FILE; see --help"};
  }
  if (!options.directory.empty()) {
    auto directory = model_directory(options.directory);
    NVFP4_RETURN_IF_ERROR(directory);
    const auto checkpoint = Checkpoint::open(*directory);
    NVFP4_RETURN_IF_ERROR(checkpoint);
    return plan::layers_of(*checkpoint, directory->string());
  }
  const bool is_config = !options.config_file.empty();
  const std::string& file = is_config ? options.config_file : options.layers_file;
  auto text = read_text(file);
  NVFP4_RETURN_IF_ERROR(text);
  return is_config ? plan::layers_of_config(*text, file) : plan::parse_layers(*text, file);
}

Result<plan::Deployment> deployment_of(const Options& options) {
  plan::Deployment deployment = options.deployment;
  if (options.activations == "w4a16") deployment.activations = plan::ActivationRequest::kW4A16;
  if (options.activations == "w4a4") deployment.activations = plan::ActivationRequest::kW4A4;
  for (const std::string& text : options.kernels) {
    auto forced = plan::parse_forced_kernel(text);
    NVFP4_RETURN_IF_ERROR(forced);
    deployment.forced.push_back(std::move(forced).value());
  }
  return deployment;
}

Result<int> run(const Options& options) {
  const auto deployment = deployment_of(options);
  NVFP4_RETURN_IF_ERROR(deployment);
  const auto machine = machine_argument(options.device);
  NVFP4_RETURN_IF_ERROR(machine);
  const auto inventory = read_layers(options);
  NVFP4_RETURN_IF_ERROR(inventory);
  const auto plan = plan::make_plan(inventory->layers, *machine, *deployment);
  NVFP4_RETURN_IF_ERROR(plan);
  if (options.json) {
    nlohmann::ordered_json out = plan_json(*plan);
    out["architecture"] = inventory->architecture;
    fmt::print("{}\n", out.dump(2));
  } else if (options.short_lines) {
    for (const plan::PlannedLayer& line : plan->layers) fmt::print("{}\n", printable(plan::layer_line(line)));
  } else {
    fmt::print("{}", plan::plan_text(*plan, inventory->architecture));
  }
  return plan->num_unserved() == 0 ? kDone : kFindings;
}

int run_and_report(const Options& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_plan_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* parser = app.add_subcommand("plan", "Which kernel serves each layer, here or elsewhere, and why");
  parser->add_option("DIR", options->directory, "checkpoint directory, or a Hugging Face id in the local cache");
  parser->add_option("--config", options->config_file, "a config.json in place of a checkpoint");
  parser->add_option("--layers", options->layers_file, "lines COUNT KIND PROBLEM in place of a checkpoint");
  parser->add_option("--device", options->device,
                     "cpu (this one), cuda (the GPU here), sm80, h200, cpu-avx2, ... (nvfp4 devices), or a file");
  parser
      ->add_option("--activations", options->activations,
                   "checkpoint: as the file asks; w4a16: 16-bit everywhere; w4a4: FP4 in every NVFP4 layer")
      ->check(CLI::IsMember({"checkpoint", "w4a16", "w4a4"}));
  parser->add_option("--kernel", options->kernels, "LAYERKIND[:SCHEME]=NAME: this kernel and no other")
      ->allow_extra_args(false);
  parser->add_option("--tp", options->deployment.ranks.tensor_parallel, "ranks that share every weight (1)")
      ->check(whole_number(1, 1024));
  parser->add_option("--ep", options->deployment.ranks.expert_parallel, "ranks that share the experts (1)")
      ->check(whole_number(1, 1024));
  parser->add_flag("--batch-invariant", options->deployment.batch_invariant,
                   "a token's bits do not depend on the tokens beside it");
  parser->add_option("--max-tokens", options->deployment.max_tokens, "of a step (8192)")
      ->check(whole_number(1, 1 << 20));
  parser->add_flag("--json", options->json, "as JSON");
  parser->add_flag("--short", options->short_lines, "one line for each kind of layer: kernels and layout");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
