#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apps/eval.h"
#include "engine/engine.h"
#include "engine/text_generation.h"

namespace nvfp4::apps {
namespace {

struct Problem {
  std::string question;
  std::string number;  // the right one
};

Result<Problem> parse_problem(const std::string& line, const std::string& where) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("question") || !json["question"].is_string() || !json.contains("answer") ||
      !json["answer"].is_string()) {
    return Error{ErrorCode::kMalformed, where, "must be a JSON object with the strings \"question\" and \"answer\""};
  }
  const auto number = final_number(json["answer"].get<std::string>());
  if (!number) return Error{ErrorCode::kMalformed, where, "its \"answer\" has no number behind \"####\""};
  return Problem{json["question"].get<std::string>(), *number};
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
    auto problem = parse_problem(line, fmt::format("{}: line {}", path, line_number));
    NVFP4_RETURN_IF_ERROR(problem);
    problems.push_back(std::move(problem).value());
  }
  if (problems.empty()) return Error{ErrorCode::kNotFound, path, "holds no problems"};
  return problems;
}

std::string prompt_of(const ProblemOptions& options, const std::string& question) {
  constexpr std::string_view kPlaceholder = "{question}";
  std::string text = options.prompt_format;
  return text.replace(text.find(kPlaceholder), kPlaceholder.size(), question);
}

// Answers all problems through one engine and counts.
class ProblemRun {
 public:
  ProblemRun(const std::vector<Problem>& problems, const ProblemOptions& options, bool quiet)
      : problems_(problems),
        options_(options),
        answers_(problems.size()),
        show_(!quiet && isatty(STDERR_FILENO) != 0) {}

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
  [[nodiscard]] Status write_answers() const {
    if (options_.out.empty()) return {};
    std::ofstream file(options_.out);
    for (std::size_t i = 0; i < problems_.size(); ++i) {
      const nlohmann::json line = {{"question", problems_[i].question},
                                   {"expected", problems_[i].number},
                                   {"output", answers_[i]},
                                   {"exact", final_number(answers_[i]) == problems_[i].number}};
      file << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    }
    file.flush();
    if (!file) return Error{ErrorCode::kIo, options_.out, "cannot be written"};
    return {};
  }

 private:
  Status add(engine::TextGeneration& generation, const engine::GenerationConfig& config, std::size_t problem_idx) {
    engine::TextRequest request;
    request.prompt_text = prompt_of(options_, problems_[problem_idx].question);
    request.tokens.max_tokens = options_.max_tokens;
    request.tokens.stop_tokens = config.eos_tokens;
    auto id = generation.add(std::move(request));
    if (!id) {
      return Error{id.error().code, fmt::format("{}: problem {}: {}", options_.file, problem_idx + 1, id.error().where),
                   id.error().message};
    }
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

double Share::value() const { return num_all == 0 ? 0 : static_cast<double>(num_hits) / static_cast<double>(num_all); }

Share::Interval Share::interval95() const {
  constexpr double kZ = 1.959964;  // two-sided 95 % of the normal distribution
  const auto n = static_cast<double>(num_all);
  if (n == 0) return {0, 1};
  const double p = value();
  const double centre = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) / (1 + kZ * kZ / n);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::optional<std::string> final_number(std::string_view answer) {
  constexpr std::string_view kMark = "####";
  const auto mark = answer.rfind(kMark);
  if (mark == std::string_view::npos) return std::nullopt;
  std::string number;
  bool has_digit = false;
  for (const char c : answer.substr(mark + kMark.size())) {
    const bool is_digit = c >= '0' && c <= '9';
    if (is_digit || (c == '-' && number.empty()) || (c == '.' && has_digit && number.find('.') == std::string::npos)) {
      number += c;
      has_digit = has_digit || is_digit;
    } else if (has_digit ? c != ',' : c != ' ' && c != '$') {
      break;
    }
  }
  if (!has_digit) return std::nullopt;
  if (number.find('.') != std::string::npos) {
    number.resize(number.find_last_not_of('0') + 1);
    if (number.back() == '.') number.pop_back();
  }
  return number;
}

Result<ProblemResult> evaluate_problems(const RunnableModel& model, const ProblemOptions& options, bool quiet) {
  if (options.prompt_format.find("{question}") == std::string::npos) {
    return Error{ErrorCode::kInvalidArgument, "--prompt-format", "must contain {question}"};
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
  engine::TextGeneration generation(*engine, **tokenizer);
  ProblemRun run(*problems, options, quiet);
  const auto began = engine::Clock::now();
  NVFP4_RETURN_IF_ERROR(run.run(generation, model.generation));
  ProblemResult result = run.result();
  result.seconds = std::chrono::duration<double>(engine::Clock::now() - began).count();
  NVFP4_RETURN_IF_ERROR(run.write_answers());
  return result;
}

}  // namespace nvfp4::apps
