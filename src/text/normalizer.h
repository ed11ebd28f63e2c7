// What happens to the text before it is split: the "normalizer" of a tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"

namespace nvfp4::text {

class Normalizer {
 public:
  // `field` may be null. NFC, Prepend, Replace of a string, and Sequences of them.
  [[nodiscard]] static Result<Normalizer> parse(const JsonField* field);

  // The normalised text: `text` itself, or a view of `storage`.
  [[nodiscard]] std::string_view apply(std::string_view text, std::string& storage) const;

 private:
  struct Step {
    enum Kind : std::uint8_t { kCompose, kPrepend, kReplace } kind;
    std::string pattern;  // kReplace
    std::string content;  // kPrepend, kReplace
  };
  Status add(const JsonField& field);

  std::vector<Step> steps_;
};

// `text` with every occurrence of `pattern` (not empty) replaced, from left to right.
[[nodiscard]] std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

}  // namespace nvfp4::text
