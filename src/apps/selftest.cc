// nvfp4 selftest DIR: every kernel that the plan takes on this processor computes a known answer at the layers' own
// numbers of columns, before it serves anybody. Without DIR: every kernel that runs here.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/here.h"
#include "apps/plan_arguments.h"
#include "base/worker_pool.h"
#include "layers/tested_plan.h"

namespace nvfp4::apps {
namespace {

struct Options {
  PlanArguments model;
  bool json = false;
};

// What was tested, and what that means for the plan.
struct Outcome {
  std::vector<layers::KernelTest> tests;
  double ms = 0;
  std::vector<std::string> refusals;

  [[nodiscard]] bool passed() const {
    return std::all_of(tests.begin(), tests.end(), [](const auto& test) { return test.passed(); });
  }
};

void print(const Outcome& outcome) {
  for (const layers::KernelTest& test : outcome.tests) {
    std::string kinds;
    for (const std::string& kind : test.layer_kinds) kinds += (kinds.empty() ? "" : ", ") + printable(kind);
    fmt::print("{:<6}  {:<32}  {:<6}  {:<13}  {:>6} columns  error {:.1e}  {}\n", test.passed() ? "passed" : "WRONG",
               test.kernel, weight_format_name(test.problem.weight), activation_name(test.problem.activation),
               test.problem.in_features, test.error,
               !kinds.empty()                 ? kinds
               : test.problem.num_experts > 1 ? "experts"
                                              : "linear");
  }
  for (const std::string& line : outcome.refusals) fmt::print("{}\n", line);
  fmt::print("{} tests in {:.0f} ms\n", outcome.tests.size(), outcome.ms);
}

void print_json(const Outcome& outcome) {
  nlohmann::ordered_json out = {{"ms", outcome.ms}, {"tolerance", layers::kSelftestTolerance}};
  out["tests"] = nlohmann::ordered_json::array();
  for (const layers::KernelTest& test : outcome.tests) {
    out["tests"].push_back({{"kernel", test.kernel},
                            {"weight", weight_format_name(test.problem.weight)},
                            {"activation", activation_name(test.problem.activation)},
                            {"in_features", test.problem.in_features},
                            {"has_experts", test.problem.num_experts > 1},
                            {"layer_kinds", test.layer_kinds},
                            {"passed", test.passed()},
                            {"relative_error", test.error}});
  }
  out["refusals"] = outcome.refusals;
  fmt::print("{}\n", out.dump(2));
}

Result<Outcome> test_all(WorkerPool& pool) {
  const auto began = std::chrono::steady_clock::now();
  auto tests = layers::test_all_kernels(best_instruction_set(), pool);
  NVFP4_RETURN_IF_ERROR(tests);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  return Outcome{std::move(tests).value(), ms, {}};
}

Result<Outcome> test_model(const Options& options, const plan::Cpu& cpu, WorkerPool& pool) {
  const auto deployment = deployment_of(options.model);
  NVFP4_RETURN_IF_ERROR(deployment);
  const auto inventory = read_layers(options.model, "nvfp4 selftest");
  NVFP4_RETURN_IF_ERROR(inventory);
  const auto tested = layers::make_tested_plan(inventory->layers, cpu, *deployment, pool);
  NVFP4_RETURN_IF_ERROR(tested);
  return Outcome{tested->tests, tested->ms, layers::refusal_lines(tested->plan)};
}

Result<int> run(const Options& options) {
  const plan::Cpu cpu = cpu_here();
  WorkerPool pool(cpu.num_workers);
  const auto outcome = names_a_model(options.model) ? test_model(options, cpu, pool) : test_all(pool);
  NVFP4_RETURN_IF_ERROR(outcome);
  options.json ? print_json(*outcome) : print(*outcome);
  return outcome->passed() ? kDone : kFindings;
}

int run_and_report(const Options& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_selftest_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* parser = app.add_subcommand("selftest", "Kernels that serve a model here, or all, compute a known answer");
  add_plan_arguments(*parser, options->model);
  parser->add_flag("--json", options->json, "as JSON");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
