// nvfp4 tune DIR: measures the kernels that may serve each layer on this machine and writes a table for --table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/bench_device.h"
#include "apps/command.h"
#include "apps/here.h"
#include "apps/input.h"
#include "apps/machine.h"
#include "apps/model_arguments.h"
#include "apps/plan_arguments.h"
#include "apps/tune_cpu.h"
#include "apps/tune_device.h"
#include "apps/tune_problem.h"
#include "base/cpu_topology.h"
#include "base/worker_pool.h"

namespace nvfp4::apps {
namespace {

constexpr std::uint32_t kCpuTokens = 512;
constexpr std::uint32_t kGpuTokens = 8192;

struct TuneOptions {
  PlanArguments model;
  std::string device = "cpu";
  std::string instruction_set = "auto";
  std::size_t num_threads = 0;   // 0: one a core
  std::uint32_t max_tokens = 0;  // 0: as many as a step has there
  double seconds = 0.05;
  std::string out;
  bool quiet = false;
};

// A line of a plan that nothing was measured of yet.
using MakeMeasure = std::function<Result<MeasureKernel>(const plan::PlannedLayer& line)>;

// What cannot be measured is said and left out.
template <class Measure>
MeasureKernel telling(const std::string& name, const Measure& measure) {
  return [name, measure](std::string_view kernel, std::uint32_t num_tokens) -> double {
    const Result<double> us = measure(kernel, num_tokens);
    if (us) return *us;
    fmt::print(stderr, "{}, {} tokens, {}: not measured: {}\n", printable(name), num_tokens, kernel,
               printable(us.error().to_string()));
    return 0;
  };
}

plan::Layer shard_of_line(const plan::PlannedLayer& line, const plan::Deployment& deployment) {
  plan::Layer shard = plan::shard_of(line.layer, deployment.ranks).value();  // the plan has made it before
  shard.activation = line.activation;
  return shard;
}

Result<plan::MeasuredTable> measure_all(const TuneOptions& options, const plan::Machine& machine,
                                        const plan::Deployment& deployment, const MakeMeasure& make_measure) {
  const auto inventory = read_layers(options.model, "nvfp4 tune");
  NVFP4_RETURN_IF_ERROR(inventory);
  const auto plan = plan::make_plan(inventory->layers, machine, deployment);
  NVFP4_RETURN_IF_ERROR(plan);
  plan::MeasuredTable table;
  table.build = build_name();
  table.machine = machine;
  for (const plan::PlannedLayer& line : plan->layers) {
    const std::string name = plan::measured_problem(shard_of_line(line, deployment), line.layer, line.projection);
    const auto candidates = plan::candidates_of(machine, deployment, line);
    NVFP4_RETURN_IF_ERROR(candidates);
    if (candidates->empty() || table.find(name) != nullptr) continue;
    if (!options.quiet) fmt::print(stderr, "{} ...\n", printable(name));
    const auto measure = make_measure(line);
    NVFP4_RETURN_IF_ERROR(measure);
    plan::MeasuredProblem problem = measure_problem(name, *candidates, deployment.max_tokens, *measure);
    for (const plan::MeasuredTokens& tokens : problem.tokens) {
      for (const plan::Measurement& measured : tokens.kernels) {
        const auto is_it = [&](const plan::KernelVersion& known) { return known.kernel == measured.kernel; };
        if (std::any_of(table.kernels.begin(), table.kernels.end(), is_it)) continue;
        table.kernels.push_back({measured.kernel, plan::kernel_version(measured.kernel)});
      }
    }
    if (!problem.tokens.empty()) table.problems.push_back(std::move(problem));
  }
  if (!table.problems.empty()) return table;
  return Error{ErrorCode::kUnsupported, "nvfp4 tune",
               "no kernel of this machine serves a layer; there is nothing to measure"};
}

Result<plan::MeasuredTable> tune_cpu(const TuneOptions& options, plan::Deployment deployment) {
  const auto set = choose_instruction_set(options.instruction_set);
  NVFP4_RETURN_IF_ERROR(set);
  WorkerPool pool(options.num_threads == 0 ? default_num_workers() : options.num_threads);
  const plan::Machine machine = plan::cpu_of(processor_name(), *set, static_cast<std::uint32_t>(pool.num_workers()));
  deployment.max_tokens = options.max_tokens == 0 ? kCpuTokens : options.max_tokens;
  return measure_all(options, machine, deployment, [&](const plan::PlannedLayer& line) -> Result<MeasureKernel> {
    const plan::Layer shard = shard_of_line(line, deployment);
    auto timer = std::make_shared<CpuLayerTimer>(plan::linear_problem(shard, line.projection), line.layer.num_experts,
                                                 shard.top_k, options.seconds, pool);
    return telling(line.problem,
                   [timer](std::string_view kernel, std::uint32_t tokens) { return timer->us(kernel, tokens); });
  });
}

Result<plan::MeasuredTable> tune_gpu(const TuneOptions& options, plan::Deployment deployment) {
  auto machine = machine_argument(options.device);
  NVFP4_RETURN_IF_ERROR(machine);
  auto bench = DeviceBench::open(0);
  NVFP4_RETURN_IF_ERROR(bench);
  deployment.max_tokens = options.max_tokens == 0 ? kGpuTokens : options.max_tokens;
  return measure_all(options, *machine, deployment, [&](const plan::PlannedLayer& line) -> Result<MeasureKernel> {
    const plan::Layer shard = shard_of_line(line, deployment);
    return telling(line.problem,
                   [&options, &bench, shard, whole_experts = line.layer.num_experts](
                       std::string_view kernel, std::uint32_t tokens) -> Result<double> {
                     const auto problem = bench_problem_of(shard, whole_experts, tokens);
                     NVFP4_RETURN_IF_ERROR(problem);
                     const auto measured = bench->measure(*problem, {false, options.seconds, std::string(kernel)});
                     NVFP4_RETURN_IF_ERROR(measured);
                     return measured->median_s * 1e6;
                   });
  });
}

Status write(const std::string& path, const std::string& text) {
  if (path.empty()) {
    fmt::print("{}", text);
    return {};
  }
  std::ofstream file(path);
  file << text;
  file.close();
  if (file) return {};
  return Error{ErrorCode::kIo, path, fmt::format("cannot be written: {}", std::strerror(errno))};
}

Status run(const TuneOptions& options) {
  const auto deployment = deployment_of(options.model);
  NVFP4_RETURN_IF_ERROR(deployment);
  if (options.device != "cpu" && options.device != "cuda") {
    return Error{ErrorCode::kInvalidArgument, "--device",
                 fmt::format("\"{}\" is not here; cpu and cuda can be measured", options.device)};
  }
  const bool is_cpu = options.device == "cpu";
  const auto table = is_cpu ? tune_cpu(options, *deployment) : tune_gpu(options, *deployment);
  NVFP4_RETURN_IF_ERROR(table);
  return write(options.out, plan::measured_table_json(*table));
}

int run_and_report(const TuneOptions& options) {
  const Status status = run(options);
  return status ? kDone : report(status.error());
}

}  // namespace

Command add_tune_command(CLI::App& app) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* parser = app.add_subcommand("tune", "Measure the kernels that may serve a model here, for --table");
  add_plan_arguments(*parser, options->model);
  parser->add_option("--device", options->device, "cpu (this one), or cuda (the GPU here)");
  parser->add_option("--out", options->out, "the table to write (standard output)");
  parser->add_option("--max-tokens", options->max_tokens, "the largest number that is measured (cpu 512, cuda 8192)")
      ->check(whole_number(1, 1 << 20));
  parser->add_option("--seconds", options->seconds, "of repetitions, for each measurement (0.05)")
      ->check(real_number(0.0001, 3600));
  parser->add_option("--tp", options->model.deployment.ranks.tensor_parallel, "ranks that share every weight (1)")
      ->check(whole_number(1, 1024));
  parser->add_option("--ep", options->model.deployment.ranks.expert_parallel, "ranks that share the experts (1)")
      ->check(whole_number(1, 1024));
  add_instruction_set_option(*parser, options->instruction_set);
  parser->add_option("--threads", options->num_threads, "worker threads (one a core)")->check(whole_number(0, 1024));
  parser->add_flag("-q,--quiet", options->quiet, "nothing on stderr but what could not be measured");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
