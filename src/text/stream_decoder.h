// Text from tokens that come one by one, as a server streams them.
#pragma once

#include <string>
#include <string_view>

#include "text/token_id.h"

namespace nvfp4 {

class Tokenizer;

// All pushes and finish together give what Tokenizer::decode gives for all ids at once. Not for several threads.
class StreamDecoder {
 public:
  // The tokenizer must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = false);

  // The text that the token completes: whole characters only, perhaps none. An unknown id gives nothing.
  [[nodiscard]] std::string push(TokenId id);
  // What is left; the beginning of a character becomes U+FFFD. Then the decoder is as new.
  [[nodiscard]] std::string finish();

  // The same, appended to `out`.
  void push(TokenId id, std::string& out);
  void finish(std::string& out);

 private:
  void push_bytes(std::string_view bytes, std::string& out);
  void push_piece(TokenId id, std::string_view bytes, std::string& out);
  void flush_fallback_bytes(std::string& out);
  void append_stripped(std::string_view text, std::string& out);

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  bool any_token_ = false;
  std::string pending_;  // the beginning of a character; for SentencePiece, byte tokens without an end yet
  std::uint32_t num_stripped_ = 0;
  bool stripping_ = true;
};

}  // namespace nvfp4
