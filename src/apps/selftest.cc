// nvfp4 selftest DIR: every kernel that the plan takes on this processor computes a known answer at the layers' own
// numbers of columns, before it serves anybody.
#include "layers/selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/here.h"
#include "apps/plan_arguments.h"
#include "base/worker_pool.h"
#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::apps {
namespace {

struct Options {
  PlanArguments model;
  bool json = false;
};

struct Outcome {
  std::string kernel, activation;
  std::uint64_t in_features = 0;
  std::vector<std::string> layer_kinds;
  double error = 0;
  [[nodiscard]] bool passed() const { return error < layers::kSelftestTolerance; }
};

const kernels::LinearKernel* find_kernel(std::string_view name) {
  const auto kernels = kernels::linear_kernels();
  const auto found =
      std::find_if(kernels.begin(), kernels.end(), [&](const auto& kernel) { return kernel.name == name; });
  return found == kernels.end() ? nullptr : &*found;  // null: a table, which computes nothing
}

// One test for what is the same but for its rows.
Result<std::vector<Outcome>> test_all(const plan::Plan& plan) {
  WorkerPool pool(std::get<plan::Cpu>(plan.machine).num_workers);
  std::vector<Outcome> outcomes;
  std::map<std::string, std::size_t> known;
  for (const plan::PlannedLayer& line : plan.layers) {
    const kernels::LinearKernel* kernel = line.ranges.empty() ? nullptr : find_kernel(line.ranges[0].kernel);
    if (kernel == nullptr) continue;
    plan::Layer layer = line.layer;
    layer.activation = line.activation;
    const kernels::LinearProblem problem = plan::linear_problem(layer, line.projection);
    const std::string key = fmt::format("{} {} {} {}", kernel->name, activation_name(problem.activation),
                                        problem.in_features, problem.num_experts > 1);
    const auto [place, is_new] = known.emplace(key, outcomes.size());
    if (is_new) {
      const auto error = layers::selftest(*kernel, problem, pool);
      NVFP4_RETURN_IF_ERROR(error);
      outcomes.push_back({std::string(kernel->name),
                          std::string(activation_name(problem.activation)),
                          problem.in_features,
                          {},
                          *error});
    }
    outcomes[place->second].layer_kinds.push_back(line.kind());
  }
  return outcomes;
}

void print(const std::vector<Outcome>& outcomes, double ms) {
  for (const Outcome& outcome : outcomes) {
    std::string kinds;
    for (const std::string& kind : outcome.layer_kinds) kinds += (kinds.empty() ? "" : ", ") + printable(kind);
    fmt::print("{:<6}  {:<32}  {:<13}  {:>6} columns  error {:.1e}  {}\n", outcome.passed() ? "passed" : "WRONG",
               outcome.kernel, outcome.activation, outcome.in_features, outcome.error, kinds);
  }
  fmt::print("{} tests in {:.0f} ms\n", outcomes.size(), ms);
}

void print_json(const std::vector<Outcome>& outcomes, double ms) {
  nlohmann::ordered_json out = {{"ms", ms}, {"tolerance", layers::kSelftestTolerance}};
  out["tests"] = nlohmann::ordered_json::array();
  for (const Outcome& outcome : outcomes) {
    out["tests"].push_back({{"kernel", outcome.kernel},
                            {"activation", outcome.activation},
                            {"in_features", outcome.in_features},
                            {"layer_kinds", outcome.layer_kinds},
                            {"passed", outcome.passed()},
                            {"relative_error", outcome.error}});
  }
  fmt::print("{}\n", out.dump(2));
}

Result<int> run(const Options& options) {
  const auto deployment = deployment_of(options.model);
  NVFP4_RETURN_IF_ERROR(deployment);
  const auto inventory = read_layers(options.model, "nvfp4 selftest");
  NVFP4_RETURN_IF_ERROR(inventory);
  const auto plan = plan::make_plan(inventory->layers, cpu_here(), *deployment);
  NVFP4_RETURN_IF_ERROR(plan);
  const auto began = std::chrono::steady_clock::now();
  const auto outcomes = test_all(*plan);
  NVFP4_RETURN_IF_ERROR(outcomes);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  options.json ? print_json(*outcomes, ms) : print(*outcomes, ms);
  return std::all_of(outcomes->begin(), outcomes->end(), [](const Outcome& outcome) { return outcome.passed(); })
             ? kDone
             : kFindings;
}

int run_and_report(const Options& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_selftest_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* parser = app.add_subcommand("selftest", "Kernels that serve a model here compute a known answer");
  add_plan_arguments(*parser, options->model);
  parser->add_flag("--json", options->json, "as JSON");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
