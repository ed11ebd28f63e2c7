#include "apps/answer.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "apps/interrupt.h"

namespace nvfp4::apps {
namespace {

using engine::FinishReason;

double seconds(engine::Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

nlohmann::json logprob_json(const engine::TokenEvent& event) {
  nlohmann::json top = nlohmann::json::array();
  for (const layers::TokenLogprob& entry : event.top_logprobs) {
    top.push_back({{"token", entry.token}, {"logprob", entry.logprob}});
  }
  return {{"token", event.token}, {"logprob", *event.logprob}, {"top", top}};
}

// One sequence, with the text of its tokens; without a tokenizer the text is their ids, separated by spaces.
class AnswerStream {
 public:
  AnswerStream(engine::Engine& engine, const RunnableModel& model) : engine_(engine) {
    if (model.tokenizer) generation_.emplace(engine, *model.tokenizer);
  }

  Status add(engine::TextRequest request) {
    auto id = generation_ ? generation_->add(std::move(request)) : engine_.add(std::move(request.tokens));
    NVFP4_RETURN_IF_ERROR(id);
    id_ = *id;
    return {};
  }
  void cancel() {
    if (generation_) {
      generation_->cancel(id_);
    } else {
      engine_.cancel(id_);
    }
  }
  [[nodiscard]] bool has_work() const { return engine_.has_work(); }

  // Takes the next token into `answer`, if the step got that far; `text` is what it adds to the answer's.
  Status step(Answer& answer, std::string& text) {
    text.clear();
    if (generation_) {
      auto events = generation_->step();
      NVFP4_RETURN_IF_ERROR(events);
      for (const engine::TextEvent& event : *events) {
        NVFP4_RETURN_IF_ERROR(take(event.token, answer));
        text += event.text;
      }
      return {};
    }
    auto events = engine_.step();
    NVFP4_RETURN_IF_ERROR(events);
    for (const engine::TokenEvent& event : *events) {
      NVFP4_RETURN_IF_ERROR(take(event, answer));
      text += fmt::format("{}{}", answer.tokens.size() > 1 ? " " : "", event.token);
    }
    return {};
  }

 private:
  static Status take(const engine::TokenEvent& event, Answer& answer) {
    if (event.finish_reason == FinishReason::kError) return event.error;
    answer.facts = event.facts;
    answer.finish_reason = event.finish_reason;
    answer.tokens.push_back(event.token);
    if (event.logprob) answer.logprobs.push_back(logprob_json(event));
    return {};
  }

  engine::Engine& engine_;
  std::optional<engine::TextGeneration> generation_;
  engine::SequenceId id_ = 0;
};

}  // namespace

double Answer::prompt_tokens_per_second() const {
  const double time = seconds(facts.first_token - facts.arrival);
  return tokens.empty() || time <= 0 ? 0 : facts.num_prompt_tokens / time;
}

double Answer::output_tokens_per_second() const {
  const double time = seconds(facts.last_token - facts.first_token);
  return tokens.size() < 2 || time <= 0 ? 0 : static_cast<double>(tokens.size() - 1) / time;
}

nlohmann::json Answer::json() const {
  nlohmann::json out = {{"text", text},
                        {"prompt_tokens", prompt_tokens},
                        {"tokens", tokens},
                        {"finish_reason", interrupted ? "interrupted" : engine::finish_reason_name(finish_reason)},
                        {"timings",
                         {{"ttft_ms", tokens.empty() ? 0.0 : 1e3 * seconds(facts.first_token - facts.arrival)},
                          {"total_ms", tokens.empty() ? 0.0 : 1e3 * seconds(facts.last_token - facts.arrival)},
                          {"prompt_tokens_per_second", prompt_tokens_per_second()},
                          {"output_tokens_per_second", output_tokens_per_second()}}}};
  if (!logprobs.empty()) out["logprobs"] = logprobs;
  return out;
}

Result<Answer> answer(engine::Engine& engine, const RunnableModel& model, engine::TextRequest request,
                      const AnswerListener& listener) {
  Answer answer;
  if (request.prompt_text) {
    auto tokenizer = require_tokenizer(model);
    NVFP4_RETURN_IF_ERROR(tokenizer);
    auto tokens = (*tokenizer)->encode(*request.prompt_text, request.add_special_tokens);
    NVFP4_RETURN_IF_ERROR(tokens);
    request.tokens.prompt = std::move(tokens).value();
    request.prompt_text.reset();
  }
  answer.prompt_tokens = request.tokens.prompt;
  AnswerStream stream(engine, model);
  NVFP4_RETURN_IF_ERROR(stream.add(std::move(request)));

  const InterruptGuard guard;
  listener.on_accepted();
  std::string text;
  bool wanted = true;
  while (stream.has_work() && wanted && !answer.interrupted) {
    NVFP4_RETURN_IF_ERROR(stream.step(answer, text));
    answer.text += text;
    if (!text.empty()) wanted = listener.on_text(text);
    answer.interrupted = InterruptGuard::requested() && stream.has_work();
  }
  stream.cancel();
  return answer;
}

}  // namespace nvfp4::apps
