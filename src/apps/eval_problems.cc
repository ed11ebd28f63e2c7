#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apps/eval.h"
#include "apps/input.h"
#include "engine/engine.h"
#include "engine/text_generation.h"

namespace nvfp4::apps {
namespace {

struct Problem {
  std::size_t line_number = 0;
  std::string question;
  std::string number;  // the right one
  std::vector<TokenId> prompt;
};

std::string place(const std::string& file, std::size_t line_number) {
  return fmt::format("{}: line {}", file, line_number);
}

Result<Problem> parse_problem(const std::string& line, const std::string& file, std::size_t line_number) {
  const std::string where = place(file, line_number);
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("question") || !json["question"].is_string() || !json.contains("answer") ||
      !json["answer"].is_string()) {
    return Error{ErrorCode::kMalformed, where, "must be a JSON object with the strings \"question\" and \"answer\""};
  }
  const auto number = final_number(json["answer"].get<std::string>());
  if (!number)
    return Error{ErrorCode::kMalformed, where,
                 "its \"answer\" has no number behind \"####\"; end it with one, as in \"#### 42\""};
  return Problem{line_number, json["question"].get<std::string>(), *number, {}};
}

Result<std::vector<Problem>> read_problems(const std::string& path, std::uint64_t limit) {
  auto text = read_text(path);
  NVFP4_RETURN_IF_ERROR(text);
  std::vector<Problem> problems;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text->size() && (limit == 0 || problems.size() < limit);) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = text->substr(at, end - at);
    ++line_number;
    at = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto problem = parse_problem(line, path, line_number);
    NVFP4_RETURN_IF_ERROR(problem);
    problems.push_back(std::move(problem).value());
  }
  if (problems.empty()) return Error{ErrorCode::kNotFound, path, "holds no problems; give one JSON object a line"};
  return problems;
}

// Gives every problem its prompt; one that the engine could never take is an Error.
Status make_prompts(const Tokenizer& tokenizer, const ProblemOptions& options, std::uint32_t max_tokens,
                    std::vector<Problem>& problems) {
  constexpr std::string_view kPlaceholder = "{question}";
  for (Problem& problem : problems) {
    std::string text = options.prompt_format;
    text.replace(text.find(kPlaceholder), kPlaceholder.size(), problem.question);
    auto tokens = tokenizer.encode(text);
    const std::string where = place(options.file, problem.line_number);
    if (!tokens) return Error{tokens.error().code, where, tokens.error().message};
    problem.prompt = std::move(tokens).value();
    if (problem.prompt.size() <= max_tokens && !problem.prompt.empty()) continue;
    return Error{ErrorCode::kInvalidArgument, where,
                 fmt::format("makes a prompt of {} tokens; from 1 to {} fit", problem.prompt.size(), max_tokens)};
  }
  return {};
}

// Opens the file for the answers before they are computed.
Status open_answers(const std::string& path, std::ofstream& file) {
  if (path.empty()) return {};
  file.open(path);
  if (!file) return Error{ErrorCode::kIo, path, fmt::format("cannot be written: {}", std::strerror(errno))};
  return {};
}

// Answers all problems through one engine and counts.
class ProblemRun {
 public:
  ProblemRun(const std::vector<Problem>& problems, const ProblemOptions& options, bool show)
      : problems_(problems), options_(options), answers_(problems.size()), show_(show) {}

  Status run(engine::TextGeneration& generation, const engine::GenerationConfig& config) {
    std::size_t next = 0;
    while (next < problems_.size() || generation.has_work()) {
      for (; next < problems_.size() && waiting_.size() < options_.concurrency; ++next) {
        NVFP4_RETURN_IF_ERROR(add(generation, config, next));
      }
      auto events = generation.step();
      NVFP4_RETURN_IF_ERROR(events);
      for (const engine::TextEvent& event : *events) NVFP4_RETURN_IF_ERROR(take(event));
    }
    if (show_) fmt::print(stderr, "\r\x1b[K");
    return {};
  }

  [[nodiscard]] const ProblemResult& result() const { return result_; }
  void write_answers(std::ostream& out) const {
    for (std::size_t i = 0; i < problems_.size(); ++i) {
      const nlohmann::json line = {{"question", problems_[i].question},
                                   {"expected", problems_[i].number},
                                   {"output", answers_[i]},
                                   {"exact", final_number(answers_[i]) == problems_[i].number}};
      out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    }
  }

 private:
  Status add(engine::TextGeneration& generation, const engine::GenerationConfig& config, std::size_t problem_idx) {
    engine::TextRequest request;
    request.tokens.prompt = problems_[problem_idx].prompt;
    request.tokens.max_tokens = options_.max_tokens;
    request.tokens.stop_tokens = config.eos_tokens;
    auto id = generation.add(std::move(request));
    NVFP4_RETURN_IF_ERROR(id);
    waiting_.emplace(*id, problem_idx);
    return {};
  }

  Status take(const engine::TextEvent& event) {
    const std::size_t problem_idx = waiting_.at(event.token.sequence);
    answers_[problem_idx] += event.text;
    if (event.token.finish_reason == engine::FinishReason::kNone) return {};
    if (event.token.finish_reason == engine::FinishReason::kError) return event.token.error;
    waiting_.erase(event.token.sequence);
    result_.num_tokens += event.token.facts.num_output_tokens;
    result_.num_cut += event.token.finish_reason == engine::FinishReason::kLength ? 1 : 0;
    ++result_.exact.num_all;
    result_.exact.num_hits += final_number(answers_[problem_idx]) == problems_[problem_idx].number ? 1 : 0;
    if (show_) {
      fmt::print(stderr, "\r{} of {} problems, {} exact\x1b[K", result_.exact.num_all, problems_.size(),
                 result_.exact.num_hits);
      std::fflush(stderr);
    }
    return {};
  }

  const std::vector<Problem>& problems_;
  const ProblemOptions& options_;
  std::vector<std::string> answers_;
  std::unordered_map<engine::SequenceId, std::size_t> waiting_;  // sequence -> problem
  ProblemResult result_;
  bool show_;
};

}  // namespace

Result<ProblemResult> evaluate_problems(const RunnableModel& model, const ProblemOptions& options, bool show,
                                        const OnStart& on_start) {
  if (options.prompt_format.find("{question}") == std::string::npos) {
    return Error{
        ErrorCode::kInvalidArgument, "--prompt-format",
        fmt::format("\"{}\" does not contain {{question}}; put it where the question goes", options.prompt_format)};
  }
  auto tokenizer = require_tokenizer(model);
  NVFP4_RETURN_IF_ERROR(tokenizer);
  auto problems = read_problems(options.file, options.limit);
  NVFP4_RETURN_IF_ERROR(problems);
  engine::EngineOptions engine_options;
  engine_options.kv_type = model.kv_type;
  engine_options.max_sequences = options.concurrency;
  auto engine = engine::Engine::create(*model.model, engine_options, *model.pool);
  NVFP4_RETURN_IF_ERROR(engine);
  NVFP4_RETURN_IF_ERROR(make_prompts(**tokenizer, options, engine->max_tokens(), *problems));
  std::ofstream answers;
  NVFP4_RETURN_IF_ERROR(open_answers(options.out, answers));
  on_start();
  engine::TextGeneration generation(*engine, **tokenizer);
  ProblemRun run(*problems, options, show);
  const auto began = engine::Clock::now();
  NVFP4_RETURN_IF_ERROR(run.run(generation, model.generation));
  ProblemResult result = run.result();
  result.seconds = std::chrono::duration<double>(engine::Clock::now() - began).count();
  if (options.out.empty()) return result;
  run.write_answers(answers);
  answers.close();
  if (!answers) return Error{ErrorCode::kIo, options.out, "cannot be written; is the disk full?"};
  return result;
}

}  // namespace nvfp4::apps
