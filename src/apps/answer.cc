#include "apps/answer.h"

#include <fmt/format.h>

#include <chrono>
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

void take(const engine::TokenEvent& event, Answer& answer) {
  answer.facts = event.facts;
  answer.finish_reason = event.finish_reason;
  if (event.finish_reason == FinishReason::kError) return;
  answer.tokens.push_back(event.token);
  if (event.logprob) answer.logprobs.push_back(logprob_json(event));
}

// Without a tokenizer: the ids, separated by spaces.
std::string id_text(const engine::TokenEvent& event, const Answer& so_far) {
  return fmt::format("{}{}", so_far.tokens.size() > 1 ? " " : "", event.token);
}

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
                      const std::function<void(std::string_view)>& on_text) {
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
  std::optional<engine::TextGeneration> generation;
  if (model.tokenizer) generation.emplace(engine, *model.tokenizer);
  auto id = generation ? generation->add(std::move(request)) : engine.add(std::move(request.tokens));
  NVFP4_RETURN_IF_ERROR(id);

  const InterruptGuard guard;
  Error failure;
  const auto on_event = [&](const engine::TokenEvent& event, std::optional<std::string_view> decoded) {
    take(event, answer);
    if (event.finish_reason == FinishReason::kError) failure = event.error;
    const std::string text = decoded ? std::string(*decoded) : id_text(event, answer);
    answer.text += text;
    if (!text.empty()) on_text(text);
  };
  while (engine.has_work()) {
    if (InterruptGuard::requested()) {
      answer.interrupted = true;
      if (generation) {
        generation->cancel(*id);
      } else {
        engine.cancel(*id);
      }
      break;
    }
    if (generation) {
      auto events = generation->step();
      NVFP4_RETURN_IF_ERROR(events);
      for (const engine::TextEvent& event : *events) on_event(event.token, event.text);
    } else {
      auto events = engine.step();
      NVFP4_RETURN_IF_ERROR(events);
      for (const engine::TokenEvent& event : *events) on_event(event, std::nullopt);
    }
  }
  if (answer.finish_reason == FinishReason::kError) return failure;
  return answer;
}

}  // namespace nvfp4::apps
