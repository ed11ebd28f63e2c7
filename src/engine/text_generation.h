// An engine that speaks text: prompts are encoded, answers decoded as they come, and stop strings end them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "nvfp4/result.h"
#include "text/stop_strings.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace nvfp4::engine {

struct TextRequest {
  Request tokens;  // its prompt is what prompt_text becomes, unless that is absent
  std::optional<std::string> prompt_text;
  bool add_special_tokens = true;         // around prompt_text, as the tokenizer says: a chat template brings its own
  std::vector<std::string> stop_strings;  // end the answer before them
  bool skip_special_tokens = true;        // in the answer's text
};

// All texts of a sequence together are its answer: whole characters, without the stop token and from the stop string
// on.
struct TextEvent {
  std::string text;  // may be empty: it is held back while it could become a character or a stop string
  TokenEvent token;  // its finish_reason is kStop for stop strings too
};

// One thread calls it at a time.
class TextGeneration {
 public:
  // Both must outlive it, and nobody else calls the engine.
  TextGeneration(Engine& engine, const Tokenizer& tokenizer) : engine_(engine), tokenizer_(tokenizer) {}

  [[nodiscard]] Result<SequenceId> add(TextRequest request);
  void cancel(SequenceId id);

  // The events of one step of the engine; valid until the next one.
  [[nodiscard]] Result<std::span<const TextEvent>> step();
  [[nodiscard]] bool has_work() const { return engine_.has_work(); }

 private:
  struct Stream {
    StreamDecoder decoder;
    StopStrings stop_strings;
  };

  // Gives the event its text and settles whether it is the last.
  void tell(const TokenEvent& token, TextEvent& event);

  Engine& engine_;
  const Tokenizer& tokenizer_;
  std::unordered_map<SequenceId, Stream> streams_;
  std::vector<TextEvent> events_;
  std::string decoded_;
};

}  // namespace nvfp4::engine
