// nvfp4 bench engine DIR --input-len N --output-len N --concurrency N
#include "apps/bench_engine.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/input.h"
#include "apps/model_arguments.h"
#include "apps/model_report.h"
#include "apps/profile_report.h"
#include "apps/samples.h"
#include "engine/engine.h"

namespace nvfp4::apps {
namespace {

using engine::Clock;

struct BenchEngineOptions {
  ModelArguments model;
  std::uint32_t input_len = 128;
  std::uint32_t output_len = 128;
  std::uint32_t concurrency = 1;
  std::uint32_t num_prompts = 0;  // 0: four for each that runs at a time
  double kv_cache_gib = 4.0;
  std::uint64_t seed = 0;
  bool json = false;
  bool profile = false;
};

double milliseconds(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

struct Measured {
  std::uint32_t num_prompts = 0;
  std::uint32_t num_completed = 0;
  std::uint64_t num_input_tokens = 0;
  std::uint64_t num_output_tokens = 0;
  double seconds = 0;
  Samples ttft, tpot, itl;  // time to first token, per output token after the first, between tokens
};

// Keeps `concurrency` requests under way until all are done.
class EngineBench {
 public:
  EngineBench(const BenchEngineOptions& options, engine::Engine& engine, std::uint32_t vocab_size)
      : options_(options), engine_(engine), vocab_size_(vocab_size) {}

  Result<Measured> run(std::uint32_t num_prompts) {
    measured_.num_prompts = num_prompts;
    const Clock::time_point began = Clock::now();
    std::uint32_t num_sent = 0;
    while (num_sent < num_prompts || engine_.has_work()) {
      for (; num_sent < num_prompts && last_.size() < options_.concurrency; ++num_sent) {
        auto id = engine_.add(make_request(num_sent));
        NVFP4_RETURN_IF_ERROR(id);
        last_.emplace(*id, Clock::time_point());
      }
      auto events = engine_.step();
      NVFP4_RETURN_IF_ERROR(events);
      for (const engine::TokenEvent& event : *events) {
        if (event.finish_reason == engine::FinishReason::kError) return event.error;
        take(event);
      }
    }
    measured_.seconds = milliseconds(Clock::now() - began) / 1e3;
    return measured_;
  }

 private:
  // Random tokens; end-of-text tokens do not stop it.
  engine::Request make_request(std::uint32_t prompt_idx) const {
    engine::Request request;
    std::uint64_t state = options_.seed * 0x9E3779B97F4A7C15ULL + prompt_idx + 1;
    for (std::uint32_t i = 0; i < options_.input_len; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      request.prompt.push_back(static_cast<TokenId>((state >> 33U) % vocab_size_));
    }
    request.max_tokens = options_.output_len;
    return request;
  }

  void take(const engine::TokenEvent& event) {
    const auto found = last_.find(event.sequence);
    const engine::SequenceFacts& facts = event.facts;
    if (facts.num_output_tokens == 1) {
      measured_.ttft.add(milliseconds(facts.first_token - facts.arrival));
    } else {
      measured_.itl.add(milliseconds(facts.last_token - found->second));
    }
    found->second = facts.last_token;
    if (event.finish_reason == engine::FinishReason::kNone) return;
    ++measured_.num_completed;
    measured_.num_input_tokens += facts.num_prompt_tokens;
    measured_.num_output_tokens += facts.num_output_tokens;
    if (facts.num_output_tokens > 1) {
      measured_.tpot.add(milliseconds(facts.last_token - facts.first_token) / (facts.num_output_tokens - 1));
    }
    last_.erase(found);
  }

  const BenchEngineOptions& options_;
  engine::Engine& engine_;
  std::uint32_t vocab_size_;
  std::unordered_map<engine::SequenceId, Clock::time_point> last_;  // of the newest token
  Measured measured_;
};

// With the field names of vLLM's serving benchmark.
nlohmann::json json_of(const BenchEngineOptions& options, const Measured& measured) {
  const double outputs = static_cast<double>(measured.num_output_tokens);
  const double inputs = static_cast<double>(measured.num_input_tokens);
  nlohmann::json out = {{"duration", measured.seconds},
                        {"num_prompts", measured.num_prompts},
                        {"completed", measured.num_completed},
                        {"max_concurrency", options.concurrency},
                        {"input_len", options.input_len},
                        {"output_len", options.output_len},
                        {"total_input_tokens", measured.num_input_tokens},
                        {"total_output_tokens", measured.num_output_tokens},
                        {"request_throughput", measured.num_completed / measured.seconds},
                        {"output_throughput", outputs / measured.seconds},
                        {"total_token_throughput", (inputs + outputs) / measured.seconds}};
  const auto add = [&](const std::string& name, const Samples& times) {
    out["mean_" + name + "_ms"] = times.mean();
    out["median_" + name + "_ms"] = times.median();
    out["std_" + name + "_ms"] = times.deviation();
    out["p99_" + name + "_ms"] = times.percentile(99);
  };
  add("ttft", measured.ttft);
  add("tpot", measured.tpot);
  add("itl", measured.itl);
  return out;
}

void print(const nlohmann::json& facts) {
  const auto line = [&](const char* label, const char* key, bool whole) {
    if (whole) {
      fmt::print("{:<40} {}\n", label, facts[key].get<std::uint64_t>());
    } else {
      fmt::print("{:<40} {:.2f}\n", label, facts[key].get<double>());
    }
  };
  line("Successful requests:", "completed", true);
  line("Maximum request concurrency:", "max_concurrency", true);
  line("Benchmark duration (s):", "duration", false);
  line("Total input tokens:", "total_input_tokens", true);
  line("Total generated tokens:", "total_output_tokens", true);
  line("Request throughput (req/s):", "request_throughput", false);
  line("Output token throughput (tok/s):", "output_throughput", false);
  line("Total token throughput (tok/s):", "total_token_throughput", false);
  for (const std::pair<const char*, std::string> kind : {std::pair{"TTFT", "ttft"}, {"TPOT", "tpot"}, {"ITL", "itl"}}) {
    for (const std::pair<const char*, std::string> which :
         {std::pair{"Mean", "mean"}, {"Median", "median"}, {"P99", "p99"}}) {
      line(fmt::format("{} {} (ms):", which.first, kind.first).c_str(),
           fmt::format("{}_{}_ms", which.second, kind.second).c_str(), false);
    }
  }
}

// A context that ends answers early would measure something else than was asked for.
Status check_lengths(const BenchEngineOptions& options, const engine::Engine& engine) {
  const std::uint64_t wanted = std::uint64_t{options.input_len} + options.output_len;
  if (wanted <= engine.max_tokens()) return {};
  return Error{ErrorCode::kInvalidArgument, "--input-len and --output-len",
               fmt::format("are {} tokens together, but context and key-value cache hold {}; give less, or more to "
                           "--kv-cache-gib",
                           wanted, engine.max_tokens())};
}

Status run(const BenchEngineOptions& options) {
  auto model = load_runnable_model(options.model);
  NVFP4_RETURN_IF_ERROR(model);
  engine::EngineOptions engine_options;
  engine_options.kv_type = model->kv_type;
  engine_options.kv_bytes = static_cast<std::uint64_t>(options.kv_cache_gib * 0x1p30);
  engine_options.max_sequences = options.concurrency;
  layers::Profile profile;
  if (options.profile) engine_options.profile = &profile;
  auto engine = engine::Engine::create(*model->model, engine_options, *model->pool);
  NVFP4_RETURN_IF_ERROR(engine);
  NVFP4_RETURN_IF_ERROR(check_lengths(options, *engine));
  if (!options.model.quiet) print_kernels(*model, stderr);
  EngineBench bench(options, *engine, model->model->shape().vocab_size);
  auto measured = bench.run(options.num_prompts == 0 ? 4 * options.concurrency : options.num_prompts);
  NVFP4_RETURN_IF_ERROR(measured);
  nlohmann::json facts = json_of(options, *measured);
  if (!options.json) {
    print(facts);
    print_profile(profile, stdout);
    return {};
  }
  facts["model"] = model->label;
  add_kernels(*model, facts);
  if (options.profile) facts["profile"] = profile_json(profile);
  fmt::print("{}\n", facts.dump(2));
  return {};
}

int run_and_report(const BenchEngineOptions& options) {
  const Status status = run(options);
  return status ? kDone : report(status.error());
}

}  // namespace

Command add_bench_engine_command(CLI::App& bench) {
  auto options = std::make_shared<BenchEngineOptions>();
  CLI::App* parser = bench.add_subcommand("engine", "Time requests of random tokens through the engine");
  add_model_arguments(*parser, options->model);
  parser->add_option("--input-len", options->input_len, "tokens of a prompt (128)")->check(whole_number(1, 1 << 20));
  parser->add_option("--output-len", options->output_len, "tokens of an answer (128)")->check(whole_number(1, 1 << 20));
  parser->add_option("--concurrency", options->concurrency, "requests at a time (1)")->check(whole_number(1, 4096));
  parser->add_option("--num-prompts", options->num_prompts, "requests in all (four for each at a time)")
      ->check(whole_number(1, 1 << 20));
  parser->add_option("--kv-cache-gib", options->kv_cache_gib, "memory for keys and values, at most (4)")
      ->check(real_number(0.001, 1e6));
  parser->add_option("--seed", options->seed, "of the prompts (0)")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()));
  parser->add_flag("--json", options->json, "as JSON, with the kernels that served");
  parser->add_flag("--profile", options->profile, "where the time of steps goes");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
