// Reading JSON through simdjson's On-Demand parser without its leniency: whatever is passed over is checked too.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "checkpoint/json_text.h"

namespace nvfp4::checkpoint {

namespace json = simdjson::ondemand;

// One text being read. Calls answer false when the text is not what they ask for; problem() then says why.
class StrictJson {
 public:
  // Strings with escapes are resolved into `unescaped`, all others are views of `text`. Both must outlive their users.
  StrictJson(std::string_view text, std::deque<std::string>& unescaped)
      : end_(text.data() + text.size()),
        has_escapes_(text.find('\\') != std::string_view::npos),
        unescaped_(unescaped) {}

  // Arrays and objects may be nested this deep, the outermost one counted.
  static constexpr int kMaxDepth = 127;

  [[nodiscard]] bool text_of(json::raw_json_string raw, std::string_view& out) {
    const char* const begin = raw.raw();
    const auto* const quote = static_cast<const char*>(std::memchr(begin, '"', static_cast<std::size_t>(end_ - begin)));
    if (quote == nullptr) return fail("a string is not closed");
    out = {begin, static_cast<std::size_t>(quote - begin)};
    if (!has_escapes_ || std::memchr(begin, '\\', out.size()) == nullptr) return true;
    return unescape(begin, out);
  }
  [[nodiscard]] bool string(json::value& value, std::string_view& out);
  [[nodiscard]] bool null(json::value& value);
  // Any value, `num_open` arrays and objects being open around it.
  [[nodiscard]] bool check(json::value& value, int num_open);
  // The text of a number, checked.
  [[nodiscard]] bool number(json::value& value, std::string_view& out);

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[gnu::cold, gnu::noinline]] bool fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  [[gnu::cold, gnu::noinline]] bool fail(simdjson::error_code error) {
    return fail(std::string("not valid JSON: ") + simdjson::error_message(error));
  }

 private:
  bool unescape(const char* begin, std::string_view& out);
  bool check_array(json::value& value, int num_open);
  bool check_object(json::value& value, int num_open);

  const char* end_;
  bool has_escapes_;  // somewhere in the text: hardly any has
  std::deque<std::string>& unescaped_;
  std::string problem_;
};

// How often `wanted` occurs in `text`.
[[nodiscard]] std::size_t count_char(std::string_view text, char wanted);

// Whether a document whose outermost object has been read to its end has no more tokens.
[[nodiscard]] bool nothing_follows(json::document& document);

// A scalar's raw token without the white space behind it.
[[nodiscard]] std::string_view trimmed_token(std::string_view token);

}  // namespace nvfp4::checkpoint
