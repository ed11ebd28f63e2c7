// nvfp4 bench PROBLEM... : layers alone, against what the machine can do; nvfp4 bench engine DIR: the whole model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/bench_device.h"
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

struct BenchOptions {
  std::vector<std::string> problems;
  std::string device = "cpu";
  std::string kernel;           // of a GPU; empty: the first that accepts
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
    problems.push_back(std::move(problem).value());
  }
  return problems;
}

// The number of a GPU, or nothing for the CPU.
Result<std::optional<std::uint32_t>> parse_device(std::string_view text) {
  constexpr std::string_view kCuda = "cuda";
  if (text == "cpu") return std::optional<std::uint32_t>();
  if (text == kCuda) return std::optional<std::uint32_t>(0);
  std::uint32_t device_idx = 0;
  const std::string_view number = text.starts_with("cuda:") ? text.substr(kCuda.size() + 1) : std::string_view();
  const char* const begin = std::to_address(number.begin());
  const char* const end = begin + number.size();
  const auto [stop, error] = std::from_chars(begin, end, device_idx);
  if (!number.empty() && error == std::errc() && stop == end) return std::optional<std::uint32_t>(device_idx);
  return Error{ErrorCode::kInvalidArgument, "nvfp4 bench",
               fmt::format("--device \"{}\" is none; write cpu, cuda, or cuda: and a number", text)};
}

Error misplaced(const char* flag, const char* place) {
  return Error{ErrorCode::kInvalidArgument, "nvfp4 bench",
               fmt::format("{} is for {}; leave one of the two out", flag, place)};
}

// Where figures come from.
struct Machine {
  std::string name;
  std::string instruction_set;
  std::size_t num_threads = 0;  // 0: of a GPU
};

nlohmann::json json_of(const BenchResult& result, const Machine& machine, bool hot) {
  return {{"problem", result.problem.to_string()},
          {"device", machine.name},
          {"instruction_set", machine.instruction_set},
          {"threads", machine.num_threads},
          {"kernel", result.kernel},
          {"memory", hot ? "hot" : "cold"},
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
  fmt::print("{:<{}}  {:<{}}  {:>7}  {:>10}  {:>6}  {:>6}  {:>8}  {:>6}  {:>5}\n", "problem", problem_width, "kernel",
             kernel_width, "threads", "median us", "GB/s", "of", "GFLOP/s", "of", "share");
  for (const BenchResult& result : results) {
    fmt::print("{:<{}}  {:<{}}  {:>7}  {:>10.1f}  {:>6.1f}  {:>6.1f}  {:>8.1f}  {:>6.0f}  {:>4.0f}%\n",
               result.problem.to_string(), problem_width, result.kernel, kernel_width, num_threads,
               result.median_s * 1e6, result.bytes_per_s() / 1e9, result.ceiling_bytes_per_s / 1e9,
               result.operations_per_s() / 1e9, result.ceiling_operations_per_s / 1e9, 100 * result.share_of_ceiling());
  }
}

void print(const std::vector<BenchResult>& results, const Machine& machine, const BenchOptions& options) {
  if (!options.json) return print_table(results, machine.num_threads);
  nlohmann::json out = nlohmann::json::array();
  for (const BenchResult& result : results) out.push_back(json_of(result, machine, options.settings.hot));
  fmt::print("{}\n", out.dump(2));
}

// measure(problem) gives a Result<BenchResult>.
template <class Measure>
Result<std::vector<BenchResult>> measure_all(const std::vector<BenchProblem>& problems, bool quiet, Measure measure) {
  std::vector<BenchResult> results;
  for (const BenchProblem& problem : problems) {
    if (!quiet) fmt::print(stderr, "{} ...\n", problem.to_string());
    auto result = measure(problem);
    NVFP4_RETURN_IF_ERROR(result);
    results.push_back(std::move(result).value());
  }
  return results;
}

// What is read for the ceiling: as much as lies between two uses of a layer, or the largest of the hot layers.
std::size_t num_bytes_to_read(const std::vector<BenchProblem>& problems, bool hot) {
  if (!hot) return cold_bytes() / 2;
  double largest = 0;
  for (const BenchProblem& problem : problems) largest = std::max(largest, problem.weight_bytes());
  return static_cast<std::size_t>(largest);
}

Status run_on_cpu(BenchOptions& options, const std::vector<BenchProblem>& problems) {
  if (!options.kernel.empty()) return misplaced("--kernel", "--device cuda");
  for (const BenchProblem& problem : problems) NVFP4_RETURN_IF_ERROR(check_memory(problem));
  auto instruction_set = choose_instruction_set(options.instruction_set);
  NVFP4_RETURN_IF_ERROR(instruction_set);
  options.settings.instruction_set = *instruction_set;
  WorkerPool pool(options.num_threads == 0 ? default_num_workers() : options.num_threads);
  auto ceilings = Ceilings::create(num_bytes_to_read(problems, options.settings.hot), *instruction_set, pool);
  NVFP4_RETURN_IF_ERROR(ceilings);
  const Machine machine{processor_name(), std::string(instruction_set_name(*instruction_set)), pool.num_workers()};
  if (!options.quiet) {
    fmt::print(stderr, "{}, {}, {} threads, weights {}\n", machine.name, machine.instruction_set, machine.num_threads,
               options.settings.hot ? "hot" : "cold");
  }
  const auto results = measure_all(problems, options.quiet, [&](const BenchProblem& problem) {
    return measure(problem, options.settings, *ceilings, pool);
  });
  NVFP4_RETURN_IF_ERROR(results);
  print(*results, machine, options);
  return {};
}

Status run_on_gpu(const BenchOptions& options, std::uint32_t device_idx, const std::vector<BenchProblem>& problems) {
  if (options.num_threads != 0) return misplaced("--threads", "--device cpu");
  if (options.instruction_set != "auto") return misplaced("--instruction-set", "--device cpu");
  const DeviceBenchSettings settings{options.settings.hot, options.settings.seconds, options.kernel};
  auto bench = DeviceBench::open(device_idx);
  NVFP4_RETURN_IF_ERROR(bench);
  for (const BenchProblem& problem : problems) NVFP4_RETURN_IF_ERROR(bench->check(problem, settings));
  const Machine machine{bench->caps().name, fmt::format("sm_{}", bench->caps().sm), 0};
  if (!options.quiet) {
    fmt::print(stderr, "{}, {}, {} multiprocessors, weights {}\n", machine.name, machine.instruction_set,
               bench->caps().num_sms, settings.hot ? "hot" : "cold");
  }
  const auto results = measure_all(problems, options.quiet,
                                   [&](const BenchProblem& problem) { return bench->measure(problem, settings); });
  NVFP4_RETURN_IF_ERROR(results);
  print(*results, machine, options);
  return {};
}

Status run(BenchOptions& options) {
  if (options.problems.empty()) {
    return Error{ErrorCode::kInvalidArgument, "nvfp4 bench",
                 "say what to measure: nvfp4 bench engine DIR, or a layer such as linear/w4a16/n4096/k2048/t1; see "
                 "nvfp4 bench --help"};
  }
  const auto device = parse_device(options.device);
  NVFP4_RETURN_IF_ERROR(device);
  const auto problems = parse_problems(options.problems);
  NVFP4_RETURN_IF_ERROR(problems);
  return device->has_value() ? run_on_gpu(options, **device, *problems) : run_on_cpu(options, *problems);
}

int run_and_report(BenchOptions& options) {
  const Status status = run(options);
  return status ? kDone : report(status.error());
}

}  // namespace

Command add_bench_command(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* parser = app.add_subcommand(
      "bench", "Measure speed: of layers (nvfp4 bench PROBLEM...), of a model (nvfp4 bench engine DIR)");
  parser->require_subcommand(0, 1);
  parser->add_option("PROBLEM", options->problems,
                     "linear/SCHEME/nOUT/kIN/tTOKENS (w4a16, w4a4, bf16, fp8, w8a8, f16, f32), or "
                     "moe/SCHEME/ACTIVATION/hHIDDEN/iINTERMEDIATE/eEXPERTS/kCHOSEN/tTOKENS (silu, relu2, gelu_tanh, "
                     "swigluoai)");
  parser->add_option("--device", options->device, "cpu, cuda or cuda:NUMBER (cpu)");
  parser->add_option("--kernel", options->kernel, "of a GPU: this one and no other (the first that serves)");
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
