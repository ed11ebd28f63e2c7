// nvfp4 run DIR [--prompt TEXT | --prompt-file F | --prompt-tokens IDS | stdin]
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/answer.h"
#include "apps/command.h"
#include "apps/input.h"
#include "apps/line_editor.h"
#include "apps/model_arguments.h"
#include "apps/model_report.h"
#include "apps/profile_report.h"
#include "apps/sampling_arguments.h"
#include "engine/engine.h"

namespace nvfp4::apps {
namespace {

constexpr std::string_view kPlaceholder = "{prompt}";

struct RunOptions {
  ModelArguments model;
  SamplingArguments sampling;
  std::optional<std::string> prompt;
  std::optional<std::string> prompt_file;
  std::optional<std::string> prompt_tokens;
  std::string prompt_format{kPlaceholder};
  double kv_cache_gib = 1.0;
  bool json = false;
  bool profile = false;
};

struct Prompt {
  std::optional<std::string> text;
  std::vector<TokenId> tokens;  // when there is no text
};

std::string format_prompt(const RunOptions& options, const std::string& prompt) {
  std::string text = options.prompt_format;
  return text.replace(text.find(kPlaceholder), kPlaceholder.size(), prompt);
}

void print_summary(const Answer& answer) {
  fmt::print(stderr, "{} prompt tokens, {:.0f} tokens/s; {} answer tokens, {:.1f} tokens/s; ended by {}\n",
             answer.prompt_tokens.size(), answer.prompt_tokens_per_second(), answer.tokens.size(),
             answer.output_tokens_per_second(),
             answer.interrupted ? "Ctrl-C" : engine::finish_reason_name(answer.finish_reason));
}

class Session {
 public:
  Session(const RunOptions& options, const RunnableModel& model, engine::Engine& engine, engine::TextRequest request)
      : options_(options), model_(model), engine_(engine), request_(std::move(request)) {}

  // Once, before the first answer.
  void introduce() {
    if (!std::exchange(introduced_, true) && !options_.model.quiet) print_kernels(model_, stderr);
  }

  // Prints the answer as it comes. Returns the exit code; an Error stands for a prompt that cannot be answered.
  Result<int> run(const Prompt& prompt) {
    engine::TextRequest request = request_;
    if (prompt.text) request.prompt_text = format_prompt(options_, *prompt.text);
    request.tokens.prompt = prompt.tokens;
    int lost = 0;
    const auto print = [&](std::string_view text) {
      if (!options_.json) lost = write(text);
      return lost == 0;
    };
    auto answered = answer(engine_, model_, std::move(request), {[this] { introduce(); }, print});
    NVFP4_RETURN_IF_ERROR(answered);
    if (lost == 0) lost = write(options_.json ? json_text(*answered) : "\n");
    if (lost != 0) return report_lost_output(lost);
    if (!options_.model.quiet) print_summary(*answered);
    return answered->interrupted ? kInterrupted : kDone;
  }

 private:
  // The error number, or 0.
  static int write(std::string_view text) {
    const bool good = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    return good ? 0 : errno;
  }

  [[nodiscard]] std::string json_text(const Answer& answered) const {
    nlohmann::json json = answered.json();
    json["model"] = model_.label;
    json["architecture"] = model_.model->shape().architecture;
    add_kernels(model_, json);
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  const RunOptions& options_;
  const RunnableModel& model_;
  engine::Engine& engine_;
  engine::TextRequest request_;
  bool introduced_ = false;
};

// Each line is a prompt of its own. Ctrl-C stops an answer or gives a line up, Ctrl-D ends.
int interactive(Session& session, bool quiet) {
  session.introduce();
  if (!quiet) fmt::print(stderr, "each line is a prompt; Ctrl-C stops an answer, Ctrl-D ends\n");
  LineEditor editor;
  std::string line;
  while (true) {
    const LineEditor::Outcome outcome = editor.read("> ", line);
    if (outcome == LineEditor::Outcome::kEnd) break;
    if (outcome == LineEditor::Outcome::kGivenUp || line.empty()) continue;
    const auto code = session.run({line, {}});
    if (!code) {
      report(code.error());
    } else if (*code == kFindings) {
      return *code;
    }
  }
  fmt::print("\n");
  return kDone;
}

Result<Prompt> read_prompt(const RunOptions& options) {
  Prompt prompt;
  if (options.prompt_tokens) {
    auto tokens = parse_tokens(*options.prompt_tokens, "--prompt-tokens");
    NVFP4_RETURN_IF_ERROR(tokens);
    prompt.tokens = std::move(tokens).value();
    return prompt;
  }
  auto text = options.prompt ? Result<std::string>(*options.prompt) : read_text(options.prompt_file.value_or("-"));
  NVFP4_RETURN_IF_ERROR(text);
  prompt.text = std::move(text).value();
  return prompt;
}

Result<engine::Engine> make_engine(const RunOptions& options, const RunnableModel& model, layers::Profile& profile) {
  engine::EngineOptions engine_options;
  engine_options.kv_type = model.kv_type;
  engine_options.kv_bytes = static_cast<std::uint64_t>(options.kv_cache_gib * 0x1p30);
  engine_options.max_sequences = 1;
  if (options.profile) engine_options.profile = &profile;
  return engine::Engine::create(*model.model, engine_options, *model.pool);
}

Result<int> run(const RunOptions& options) {
  if (options.prompt_format.find(kPlaceholder) == std::string::npos) {
    return Error{
        ErrorCode::kInvalidArgument, "--prompt-format",
        fmt::format("\"{}\" does not contain {{prompt}}; put it where the prompt goes", options.prompt_format)};
  }
  const bool has_prompt = options.prompt || options.prompt_file || options.prompt_tokens;
  const bool talks = !has_prompt && isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  Prompt prompt;
  if (!talks) {
    auto read = read_prompt(options);
    NVFP4_RETURN_IF_ERROR(read);
    prompt = std::move(read).value();
  }
  auto model = load_runnable_model(options.model);
  NVFP4_RETURN_IF_ERROR(model);
  if (talks || prompt.text) {
    if (auto tokenizer = require_tokenizer(*model); !tokenizer) {
      Error error = tokenizer.error();
      error.message += "; --prompt-tokens needs none";
      return error;
    }
  }
  auto request = make_request(options.sampling, model->generation);
  NVFP4_RETURN_IF_ERROR(request);
  layers::Profile profile;
  auto engine = make_engine(options, *model, profile);
  NVFP4_RETURN_IF_ERROR(engine);
  Session session(options, *model, *engine, std::move(request).value());
  auto code = talks ? interactive(session, options.model.quiet) : session.run(prompt);
  if (options.profile) print_profile(profile, stderr);
  return code;
}

int run_and_report(const RunOptions& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace

Command add_run_command(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
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
      ->check(real_number(0.001, 1e6));
  parser->add_flag("--json", options->json, "text, token ids, timings and kernels as JSON");
  parser->add_flag("--profile", options->profile, "where the time of steps went, on stderr at the end");
  return {parser, [options] { return run_and_report(*options); }};
}

}  // namespace nvfp4::apps
