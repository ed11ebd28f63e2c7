// One request from prompt to answer, streamed.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "apps/model_arguments.h"
#include "engine/engine.h"
#include "engine/text_generation.h"

namespace nvfp4::apps {

struct Answer {
  std::string text;
  std::vector<TokenId> prompt_tokens;
  std::vector<TokenId> tokens;
  std::vector<nlohmann::json> logprobs;  // one per token, when asked for
  engine::FinishReason finish_reason = engine::FinishReason::kNone;
  engine::SequenceFacts facts;
  bool interrupted = false;

  // Of the prompt, until the first token; of the answer, after it. 0 when there were none.
  [[nodiscard]] double prompt_tokens_per_second() const;
  [[nodiscard]] double output_tokens_per_second() const;
  [[nodiscard]] nlohmann::json json() const;
};

struct AnswerListener {
  std::function<void()> on_accepted;              // the request can be served; comes before any text
  std::function<bool(std::string_view)> on_text;  // as it comes; without a tokenizer, token ids. False: stop
};

// Runs the request to its end, until Ctrl-C or until the listener has enough.
[[nodiscard]] Result<Answer> answer(engine::Engine& engine, const RunnableModel& model, engine::TextRequest request,
                                    const AnswerListener& listener);

}  // namespace nvfp4::apps
