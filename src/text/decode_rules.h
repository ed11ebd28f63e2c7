// How tokens become text again: the "decoder" of a tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/json_field.h"

namespace nvfp4::text {

struct DecodeRules {
  enum Kind : std::uint8_t {
    kBytes,   // ByteLevel: tokens are bytes; what is not UTF-8 becomes U+FFFD
    kPieces,  // SentencePiece: tokens are text, except those that stand for one byte
    kWords,   // no decoder: tokens are text, with a space between two
  };
  Kind kind = kWords;
  // kPieces
  std::vector<std::pair<std::string, std::string>> replacements;  // in each token: from, to
  bool byte_fallback = false;  // "<0x0A>" is a byte; a run of them that is no UTF-8 gives one U+FFFD per byte
  bool first_token_loses_spaces = false;  // Metaspace: U+2581 in the first token is dropped
  std::string stripped;                   // a character, dropped from the beginning of the text
  std::uint32_t num_stripped = 0;         // at most so many times

  // What a token with this text stands for.
  [[nodiscard]] std::string bytes_of(std::string_view token_text) const;
  // The byte of a "<0x0A>" when byte_fallback, otherwise -1.
  [[nodiscard]] int fallback_byte(std::string_view token_text) const;
};

// `field` may be null.
[[nodiscard]] Result<DecodeRules> read_decode_rules(const JsonField* field);

}  // namespace nvfp4::text
