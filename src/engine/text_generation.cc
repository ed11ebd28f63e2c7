#include "engine/text_generation.h"

#include <utility>

namespace nvfp4::engine {

Result<SequenceId> TextGeneration::add(TextRequest request) {
  if (request.prompt_text) {
    auto tokens = tokenizer_.encode(*request.prompt_text, request.add_special_tokens);
    if (!tokens) return std::move(tokens).error();
    request.tokens.prompt = std::move(tokens).value();
  }
  auto id = engine_.add(std::move(request.tokens));
  if (!id) return id;
  streams_.emplace(*id, Stream{StreamDecoder(tokenizer_, request.skip_special_tokens),
                               StopStrings(std::move(request.stop_strings))});
  return id;
}

void TextGeneration::cancel(SequenceId id) {
  engine_.cancel(id);
  streams_.erase(id);
}

Result<std::span<const TextEvent>> TextGeneration::step() {
  events_.clear();
  const auto tokens = engine_.step();
  if (!tokens) return tokens.error();
  for (const TokenEvent& token : *tokens) tell(token, events_.emplace_back());
  for (const TextEvent& event : events_) {
    if (event.token.finish_reason != FinishReason::kNone) cancel(event.token.sequence);
  }
  return std::span<const TextEvent>(events_);
}

void TextGeneration::tell(const TokenEvent& token, TextEvent& event) {
  event.token = token;
  Stream& stream = streams_.at(token.sequence);
  const bool last = token.finish_reason != FinishReason::kNone;
  const bool has_text = token.finish_reason == FinishReason::kNone || token.finish_reason == FinishReason::kLength;
  decoded_.clear();
  if (has_text) stream.decoder.push(token.token, decoded_);
  if (last) stream.decoder.finish(decoded_);
  auto output = stream.stop_strings.push(decoded_);
  event.text = std::move(output.emit);
  if (output.stopped) {
    event.token.finish_reason = FinishReason::kStop;
  } else if (last) {
    event.text += stream.stop_strings.finish();
  }
}

}  // namespace nvfp4::engine
