// nvfp4 run DIR [--prompt TEXT | --prompt-file F | --prompt-tokens IDS | stdin]
#include <editline/readline.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "apps/answer.h"
#include "apps/command.h"
#include "apps/model_arguments.h"
#include "apps/sampling_arguments.h"
#include "engine/engine.h"

namespace nvfp4::apps {
namespace {

constexpr std::string_view kPlaceholder = "{prompt}";

struct Options {
  ModelArguments model;
  SamplingArguments sampling;
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> prompt_tokens;
  std::string prompt_format{kPlaceholder};
  double kv_cache_gib = 1.0;
  bool json = false;
};

std::string format_prompt(const Options& options, const std::string& prompt) {
  std::string text = options.prompt_format;
  if (const auto at = text.find(kPlaceholder); at != std::string::npos) text.replace(at, kPlaceholder.size(), prompt);
  return text;
}

void print_summary(const Answer& answer) {
  fmt::print(stderr, "{} prompt tokens, {:.0f} tokens/s; {} answer tokens, {:.1f} tokens/s; ended by {}\n",
             answer.prompt_tokens.size(), answer.prompt_tokens_per_second(), answer.tokens.size(),
             answer.output_tokens_per_second(),
             answer.interrupted ? "Ctrl-C" : engine::finish_reason_name(answer.finish_reason));
}

class Session {
 public:
  Session(const Options& options, const RunnableModel& model, engine::Engine& engine, engine::TextRequest request)
      : options_(options), model_(model), engine_(engine), request_(std::move(request)) {}

  // Answers one prompt. An Error is reported by the caller.
  Status answer_prompt(const std::string& prompt) {
    engine::TextRequest request = request_;
    request.prompt_text = format_prompt(options_, prompt);
    return run(std::move(request));
  }
  Status answer_tokens(std::vector<TokenId> tokens) {
    engine::TextRequest request = request_;
    request.tokens.prompt = std::move(tokens);
    return run(std::move(request));
  }

 private:
  Status run(engine::TextRequest request) {
    auto answered = answer(engine_, model_, std::move(request), [this](std::string_view text) {
      if (options_.json) return;
      fmt::print("{}", text);
      std::fflush(stdout);
    });
    NVFP4_RETURN_IF_ERROR(answered);
    if (options_.json) {
      nlohmann::json json = answered->json();
      json["model"] = model_.label;
      json["architecture"] = model_.model->shape().architecture;
      json["kernels"] = kernels_json(*model_.model);
      fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    } else {
      fmt::print("\n");
      std::fflush(stdout);
    }
    if (!options_.model.quiet) print_summary(*answered);
    return {};
  }

  const Options& options_;
  const RunnableModel& model_;
  engine::Engine& engine_;
  engine::TextRequest request_;
};

// Each line is a prompt of its own. Ctrl-C stops an answer, Ctrl-D ends.
int interactive(Session& session, bool quiet) {
  if (!quiet) fmt::print(stderr, "each line is a prompt; Ctrl-C stops an answer, Ctrl-D ends\n");
  rl_initialize();
  using_history();
  while (true) {
    const std::unique_ptr<char, void (*)(void*)> line(readline("> "), std::free);
    if (line == nullptr) break;
    if (*line == '\0') continue;
    add_history(line.get());
    if (Status status = session.answer_prompt(line.get()); !status) report(status.error());
  }
  fmt::print("\n");
  return kDone;
}

Status answer_input(const Options& options, Session& session) {
  if (options.prompt_tokens) {
    auto tokens = parse_tokens(*options.prompt_tokens);
    NVFP4_RETURN_IF_ERROR(tokens);
    return session.answer_tokens(std::move(tokens).value());
  }
  if (options.prompt) return session.answer_prompt(*options.prompt);
  auto text = read_text(options.prompt_file.value_or("-"));
  NVFP4_RETURN_IF_ERROR(text);
  return session.answer_prompt(*text);
}

int run(const Options& options) {
  if (options.prompt_format.find(kPlaceholder) == std::string::npos) {
    return report({ErrorCode::kInvalidArgument, "--prompt-format", "must contain {prompt}"});
  }
  auto model = load_runnable_model(options.model);
  if (!model) return report(model.error());
  if (!options.prompt_tokens) {
    if (auto tokenizer = require_tokenizer(*model); !tokenizer) return report(tokenizer.error());
  }
  auto request = make_request(options.sampling, model->generation);
  if (!request) return report(request.error());
  engine::EngineOptions engine_options;
  engine_options.kv_type = model->kv_type;
  engine_options.kv_bytes = static_cast<std::uint64_t>(options.kv_cache_gib * 0x1p30);
  engine_options.max_sequences = 1;
  auto engine = engine::Engine::create(*model->model, engine_options, *model->pool);
  if (!engine) return report(engine.error());
  if (!options.model.quiet) print_kernels(*model->model, stderr);

  Session session(options, *model, *engine, std::move(request).value());
  const bool has_prompt = options.prompt || options.prompt_file || options.prompt_tokens;
  if (!has_prompt && isatty(STDIN_FILENO) != 0) return interactive(session, options.model.quiet);
  if (Status status = answer_input(options, session); !status) return report(status.error());
  return kDone;
}

}  // namespace

Command add_run_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* parser = app.add_subcommand("run", "Generate text; on a terminal without a prompt, line by line");
  add_model_arguments(*parser, options->model);
  auto* prompt = parser->add_option("--prompt", options->prompt, "the text to continue (standard input)");
  auto* file = parser->add_option("--prompt-file", options->prompt_file, "a file with it (-: standard input)");
  auto* tokens = parser->add_option("--prompt-tokens", options->prompt_tokens, "its token ids: 1,2,3");
  prompt->excludes(file)->excludes(tokens);
  file->excludes(tokens);
  parser->add_option("--prompt-format", options->prompt_format,
                     "text around each prompt, with {prompt} for the prompt");
  add_sampling_arguments(*parser, options->sampling);
  parser->add_option("--kv-cache-gib", options->kv_cache_gib, "memory for keys and values, at most (1)")
      ->check(CLI::Range(0.001, 1e6));
  parser->add_flag("--json", options->json, "text, token ids, timings and kernels as JSON");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
