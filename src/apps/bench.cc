// nvfp4 bench PROBLEM... : layers alone, against what the machine can do; nvfp4 bench engine DIR: the whole model.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/bench_engine.h"
#include "apps/bench_measurement.h"
#include "apps/bench_problem.h"
#include "apps/command.h"
#include "apps/input.h"
#include "apps/machine.h"
#include "apps/model_arguments.h"
#include "base/cpu_topology.h"
#include "base/worker_pool.h"

namespace nvfp4::apps {
namespace {

struct Options {
  std::vector<std::string> problems;
  std::size_t num_threads = 0;  // 0: one a core
  std::string instruction_set = "auto";
  BenchSettings settings;
  bool json = false;
  bool quiet = false;
};

Result<std::vector<BenchProblem>> parse_problems(const std::vector<std::string>& texts) {
  std::vector<BenchProblem> problems;
  for (const std::string& text : texts) {
    auto problem = parse_bench_problem(text);
    NVFP4_RETURN_IF_ERROR(problem);
    NVFP4_RETURN_IF_ERROR(check_memory(*problem));
    problems.push_back(std::move(problem).value());
  }
  return problems;
}

// What is read for the ceiling: as much as lies between two uses of a layer, or the largest of the hot layers.
std::size_t num_bytes_to_read(const std::vector<BenchProblem>& problems, bool hot) {
  if (!hot) return cold_bytes() / 2;
  double largest = 0;
  for (const BenchProblem& problem : problems) largest = std::max(largest, problem.weight_bytes());
  return static_cast<std::size_t>(largest);
}

nlohmann::json json_of(const BenchResult& result, const BenchSettings& settings, std::size_t num_threads) {
  return {{"problem", result.problem.to_string()},
          {"device", processor_name()},
          {"instruction_set", instruction_set_name(settings.instruction_set)},
          {"threads", num_threads},
          {"kernel", result.kernel},
          {"memory", settings.hot ? "hot" : "cold"},
          {"copies", result.num_copies},
          {"repetitions", result.num_repetitions},
          {"median_us", result.median_s * 1e6},
          {"min_us", result.min_s * 1e6},
          {"bytes", result.bytes_read},
          {"operations", result.problem.operations()},
          {"gb_per_s", result.bytes_per_s() / 1e9},
          {"tflop_per_s", result.operations_per_s() / 1e12},
          {"ceiling_gb_per_s", result.ceiling_bytes_per_s / 1e9},
          {"ceiling_tflop_per_s", result.ceiling_operations_per_s / 1e12},
          {"share_of_ceiling", result.share_of_ceiling()}};
}

void print_table(const std::vector<BenchResult>& results, std::size_t num_threads) {
  std::size_t problem_width = 7;
  std::size_t kernel_width = 6;
  for (const BenchResult& result : results) {
    problem_width = std::max(problem_width, result.problem.to_string().size());
    kernel_width = std::max(kernel_width, result.kernel.size());
  }
  fmt::print("{:<{}}  {:<{}}  {:>7}  {:>10}  {:>6}  {:>5}  {:>8}  {:>5}  {:>5}\n", "problem", problem_width, "kernel",
             kernel_width, "threads", "median us", "GB/s", "of", "GFLOP/s", "of", "share");
  for (const BenchResult& result : results) {
    fmt::print("{:<{}}  {:<{}}  {:>7}  {:>10.1f}  {:>6.1f}  {:>5.1f}  {:>8.1f}  {:>5.0f}  {:>4.0f}%\n",
               result.problem.to_string(), problem_width, result.kernel, kernel_width, num_threads,
               result.median_s * 1e6, result.bytes_per_s() / 1e9, result.ceiling_bytes_per_s / 1e9,
               result.operations_per_s() / 1e9, result.ceiling_operations_per_s / 1e9, 100 * result.share_of_ceiling());
  }
}

Status run(Options& options) {
  if (options.problems.empty()) {
    return Error{ErrorCode::kInvalidArgument, "nvfp4 bench",
                 "say what to measure: nvfp4 bench engine DIR, or a layer such as linear/w4a16/n4096/k2048/t1; see "
                 "nvfp4 bench --help"};
  }
  auto problems = parse_problems(options.problems);
  NVFP4_RETURN_IF_ERROR(problems);
  auto instruction_set = choose_instruction_set(options.instruction_set);
  NVFP4_RETURN_IF_ERROR(instruction_set);
  options.settings.instruction_set = *instruction_set;
  WorkerPool pool(options.num_threads == 0 ? default_num_workers() : options.num_threads);
  auto ceilings = Ceilings::create(num_bytes_to_read(*problems, options.settings.hot), *instruction_set, pool);
  NVFP4_RETURN_IF_ERROR(ceilings);
  if (!options.quiet) {
    fmt::print(stderr, "{}, {}, {} threads, weights {}\n", processor_name(), instruction_set_name(*instruction_set),
               pool.num_workers(), options.settings.hot ? "hot" : "cold");
  }
  std::vector<BenchResult> results;
  for (const BenchProblem& problem : *problems) {
    if (!options.quiet) fmt::print(stderr, "{} ...\n", problem.to_string());
    auto result = measure(problem, options.settings, *ceilings, pool);
    NVFP4_RETURN_IF_ERROR(result);
    results.push_back(std::move(result).value());
  }
  if (!options.json) {
    print_table(results, pool.num_workers());
    return {};
  }
  nlohmann::json out = nlohmann::json::array();
  for (const BenchResult& result : results) out.push_back(json_of(result, options.settings, pool.num_workers()));
  fmt::print("{}\n", out.dump(2));
  return {};
}

int run_and_report(Options& options) {
  const Status status = run(options);
  return status ? kDone : report(status.error());
}

}  // namespace

Command add_bench_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* parser = app.add_subcommand(
      "bench", "Measure speed: of layers (nvfp4 bench PROBLEM...), of a model (nvfp4 bench engine DIR)");
  parser->require_subcommand(0, 1);
  parser->add_option("PROBLEM", options->problems,
                     "linear/SCHEME/nOUT/kIN/tTOKENS (w4a16, w4a4, bf16, fp8, w8a8, f16, f32), or "
                     "moe/SCHEME/ACTIVATION/hHIDDEN/iINTERMEDIATE/eEXPERTS/kCHOSEN/tTOKENS (silu, relu2, gelu_tanh)");
  parser->add_option("--threads", options->num_threads, "worker threads (one a core)")->check(whole_number(0, 1024));
  add_instruction_set_option(*parser, options->instruction_set);
  parser->add_flag("--hot", options->settings.hot, "one copy again and again, not from memory");
  parser->add_option("--seconds", options->settings.seconds, "of repetitions, for each problem (1)")
      ->check(real_number(0.001, 3600));
  parser->add_flag("--json", options->json, "as JSON");
  parser->add_flag("-q,--quiet", options->quiet, "nothing on stderr but errors");
  const Command engine = add_bench_engine_command(*parser);
  return {parser, [options, engine] { return engine.parser->parsed() ? engine.run() : run_and_report(*options); }};
}

}  // namespace nvfp4::apps
