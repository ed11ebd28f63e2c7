// nvfp4 plan DIR: which kernel will serve each layer on this machine or on another one, and why not the others.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "apps/here.h"
#include "apps/input.h"
#include "apps/plan_arguments.h"
#include "apps/plan_json.h"
#include "plan/plan_text.h"

namespace nvfp4::apps {
namespace {

struct PlanOptions {
  PlanArguments model;
  std::string device = "cpu";
  std::string table;
  bool json = false;
  bool short_lines = false;
};

Result<int> run(const PlanOptions& options) {
  auto deployment = deployment_of(options.model);
  NVFP4_RETURN_IF_ERROR(deployment);
  const auto machine = machine_argument(options.device);
  NVFP4_RETURN_IF_ERROR(machine);
  auto table = table_argument(options.table, *machine);
  NVFP4_RETURN_IF_ERROR(table);
  deployment->table = std::move(table).value();
  const auto inventory = read_layers(options.model, "nvfp4 plan");
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
    fmt::print("{}", plan::plan_text(*plan, printable(inventory->architecture)));
  }
  return plan->num_unserved() == 0 ? kDone : kFindings;
}

int run_and_report(const PlanOptions& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_plan_command(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* parser = app.add_subcommand("plan", "Which kernel serves each layer, here or elsewhere, and why");
  add_plan_arguments(*parser, options->model);
  plan::Deployment& deployment = options->model.deployment;
  parser->add_option("--device", options->device,
                     "cpu (this one), cuda (the GPU here), sm80, h200, cpu-avx2, ... (nvfp4 devices), or a file");
  parser->add_option("--tp", deployment.ranks.tensor_parallel, "ranks that share every weight (1)")
      ->check(whole_number(1, 1024));
  parser->add_option("--ep", deployment.ranks.expert_parallel, "ranks that share the experts (1)")
      ->check(whole_number(1, 1024));
  parser->add_flag("--batch-invariant", deployment.batch_invariant,
                   "a token's bits do not depend on the tokens beside it");
  parser->add_option("--max-tokens", deployment.max_tokens, "of a step (8192)")->check(whole_number(1, 1 << 20));
  parser->add_option("--table", options->table, "choose by what nvfp4 tune measured: a file that it wrote");
  parser->add_flag("--json", options->json, "as JSON");
  parser->add_flag("--short", options->short_lines, "one line for each kind of layer: kernels and layout");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
