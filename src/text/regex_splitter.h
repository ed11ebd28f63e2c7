// A regular expression of a tokenizer file that no hand-written splitter covers, run by PCRE2.
//
// The files' expressions are written for Oniguruma. Where the two disagree the expression is rewritten (\s, \S, \w, \W,
// \uHHHH) or refused (\h, \b, POSIX classes, classes inside classes, &&, (?m)). PCRE2 knows Unicode 14.0: characters of
// later versions count as unassigned.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "nvfp4/result.h"

namespace nvfp4::text {

// Gets [begin, end) of each part of the text in order, and whether the expression matched it or it lies between
// matches.
using MatchSink = std::function<void(std::size_t begin, std::size_t end, bool matched)>;

class RegexSplitter {
 public:
  // `where` names the field in errors.
  [[nodiscard]] static Result<RegexSplitter> compile(std::string_view regex, std::string_view where);

  // An Error when the expression needs more steps or memory than the limits of regex_splitter.cc.
  [[nodiscard]] Status split(std::string_view text, const MatchSink& sink) const;

 private:
  struct Code;
  explicit RegexSplitter(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

  std::shared_ptr<const Code> code_;
};

// The expression in PCRE2's syntax.
[[nodiscard]] Result<std::string> to_pcre2_syntax(std::string_view regex, std::string_view where);

}  // namespace nvfp4::text
