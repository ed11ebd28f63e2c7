// nvfp4 selftest DIR: every kernel that the plan takes on this processor, or on the GPU here, computes a known answer
// at the layers' own shapes, before it serves anybody. Without DIR: every kernel that runs here.
#include <fmt/format.h>
#include <fmt/ranges.h>

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
#include "device/device.h"
#include "device/stream.h"
#include "layers/tested_device_plan.h"
#include "layers/tested_plan.h"

namespace nvfp4::apps {
namespace {

struct SelftestOptions {
  PlanArguments model;
  std::string device = "cpu";
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
    std::string on_gpu;
    if (!test.num_tokens.empty()) {
      on_gpu = fmt::format("{} rows, {} tokens  ", test.problem.out_features, fmt::join(test.num_tokens, ", "));
    }
    fmt::print("{:<6}  {:<32}  {:<6}  {:<13}  {:>6} columns  error {:.1e}  {}{}\n", test.passed() ? "passed" : "WRONG",
               test.kernel, weight_format_name(test.problem.weight), activation_name(test.problem.activation),
               test.problem.in_features, test.error, on_gpu,
               !kinds.empty()                 ? kinds
               : test.problem.num_experts > 1 ? "experts"
                                              : "linear");
  }
  for (const std::string& line : outcome.refusals) fmt::print("{}\n", line);
  fmt::print("{} tests in {:.0f} ms\n", outcome.tests.size(), outcome.ms);
}

void print_json(const Outcome& outcome) {
  nlohmann::ordered_json out = {{"ms", outcome.ms}};
  out["tests"] = nlohmann::ordered_json::array();
  for (const layers::KernelTest& test : outcome.tests) {
    out["tests"].push_back({{"kernel", test.kernel},
                            {"weight", weight_format_name(test.problem.weight)},
                            {"activation", activation_name(test.problem.activation)},
                            {"in_features", test.problem.in_features},
                            {"has_experts", test.problem.num_experts > 1},
                            {"layer_kinds", test.layer_kinds},
                            {"passed", test.passed()},
                            {"relative_error", test.error},
                            {"tolerance", test.tolerance}});
    if (test.num_tokens.empty()) continue;
    out["tests"].back()["out_features"] = test.problem.out_features;
    out["tests"].back()["num_tokens"] = test.num_tokens;
  }
  out["refusals"] = outcome.refusals;
  fmt::print("{}\n", out.dump(2));
}

// test() -> Result<std::vector<layers::KernelTest>>, of no model.
template <class Test>
Result<Outcome> timed(const Test& test) {
  const auto began = std::chrono::steady_clock::now();
  auto tests = test();
  NVFP4_RETURN_IF_ERROR(tests);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  return Outcome{std::move(tests).value(), ms, {}};
}

// make_plan(layers, deployment) -> Result<layers::TestedPlan>
template <class MakePlan>
Result<Outcome> test_model(const SelftestOptions& options, const MakePlan& make_plan) {
  const auto deployment = deployment_of(options.model);
  NVFP4_RETURN_IF_ERROR(deployment);
  const auto inventory = read_layers(options.model, "nvfp4 selftest");
  NVFP4_RETURN_IF_ERROR(inventory);
  const auto tested = make_plan(inventory->layers, *deployment);
  NVFP4_RETURN_IF_ERROR(tested);
  return Outcome{tested->tests, tested->ms, layers::refusal_lines(tested->plan)};
}

Result<Outcome> test_cpu(const SelftestOptions& options) {
  const plan::Cpu cpu = cpu_here();
  WorkerPool pool(cpu.num_workers);
  if (!names_a_model(options.model)) {
    return timed([&] { return layers::test_all_kernels(best_instruction_set(), pool); });
  }
  return test_model(options, [&](const auto& layers, const plan::Deployment& deployment) {
    return layers::make_tested_plan(layers, cpu, deployment, pool);
  });
}

// The first GPU.
Result<Outcome> test_gpu(const SelftestOptions& options) {
  const auto device = Device::open(0);
  NVFP4_RETURN_IF_ERROR(device);
  const auto stream = Stream::create();
  NVFP4_RETURN_IF_ERROR(stream);
  WorkerPool pool(cpu_here().num_workers);
  const layers::TestDevice there{device->caps(), stream->get(), pool};
  const layers::DeviceTestRunner runner = layers::run_on_device(there);
  if (!names_a_model(options.model)) {
    return timed([&] { return layers::test_all_device_kernels(device->caps(), runner); });
  }
  const plan::Gpu gpu{device->caps(), rates_of(device->caps())};
  return test_model(options, [&](const auto& layers, const plan::Deployment& deployment) {
    return layers::make_tested_device_plan(layers, gpu, deployment, runner);
  });
}

Result<int> run(const SelftestOptions& options) {
  if (options.device != "cpu" && options.device != "cuda") {
    return Error{ErrorCode::kInvalidArgument, "--device",
                 fmt::format("\"{}\" is not here; kernels of cpu and cuda can be tested", options.device)};
  }
  const auto outcome = options.device == "cpu" ? test_cpu(options) : test_gpu(options);
  NVFP4_RETURN_IF_ERROR(outcome);
  options.json ? print_json(*outcome) : print(*outcome);
  return outcome->passed() ? kDone : kFindings;
}

int run_and_report(const SelftestOptions& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_selftest_command(CLI::App& app) {
  auto options = std::make_shared<SelftestOptions>();
  CLI::App* parser = app.add_subcommand("selftest", "Kernels that serve a model here, or all, compute a known answer");
  add_plan_arguments(*parser, options->model);
  parser->add_option("--device", options->device, "cpu (this one), or cuda (the GPU here)");
  parser->add_flag("--json", options->json, "as JSON");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
