// From Oniguruma's syntax to PCRE2's, for the part of both that splitting expressions use.
#include <fmt/format.h>

#include <cctype>

#include "text/regex_splitter.h"

namespace nvfp4::text {
namespace {

// What stands inside the brackets of a class. PCRE2's own \s also takes U+180E.
constexpr std::string_view kSpaces = R"(\p{Z}\t-\r\x{85})";
constexpr std::string_view kWordCharacters = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9})";

class Rewriter {
 public:
  Rewriter(std::string_view regex, std::string_view where) : regex_(regex), where_(where) {}

  Result<std::string> run() {
    while (at_ < regex_.size()) {
      Status status = regex_[at_] == '\\' ? escape() : in_class_ ? class_character() : character();
      if (!status) return std::move(status).error();
    }
    if (in_class_) return refuse("has a [ without its ]");
    return std::move(out_);
  }

 private:
  [[nodiscard]] Error refuse(std::string_view why) const {
    return {ErrorCode::kUnsupported, std::string(where_),
            fmt::format("the regular expression {} at byte {}, which is not supported", why, at_)};
  }
  void copy(std::size_t num_bytes) {
    out_ += regex_.substr(at_, num_bytes);
    at_ += num_bytes;
  }
  void replace(std::size_t num_bytes, const std::string& text) {
    out_ += text;
    at_ += num_bytes;
  }

  Status escape() {
    if (at_ + 1 == regex_.size()) return refuse("ends in a backslash");
    const char c = regex_[at_ + 1];
    if (c == 's' || c == 'w') {
      const std::string_view members = c == 's' ? kSpaces : kWordCharacters;
      replace(2, in_class_ ? std::string(members) : fmt::format("[{}]", members));
    } else if (c == 'S' || c == 'W') {
      if (in_class_) return refuse(fmt::format("has \\{} inside of brackets", c));
      replace(2, fmt::format("[^{}]", c == 'S' ? kSpaces : kWordCharacters));
    } else if (c == 'u') {
      const std::string_view digits = regex_.substr(at_ + 2, 4);
      for (const char d : digits) {
        if (std::isxdigit(static_cast<unsigned char>(d)) == 0) return refuse("has a \\u without four digits");
      }
      if (digits.size() != 4) return refuse("has a \\u without four digits");
      replace(6, fmt::format("\\x{{{}}}", digits));
    } else if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      if (std::string_view("pPdDnrtfveaxzA").find(c) == std::string_view::npos)
        return refuse(fmt::format("has \\{}", c));
      const std::size_t close = regex_.substr(at_ + 2, 1) == "{" ? regex_.find('}', at_) : std::string_view::npos;
      copy(close == std::string_view::npos ? 2 : close + 1 - at_);
    } else {
      copy(2);
    }
    return {};
  }

  Status class_character() {
    const char c = regex_[at_];
    if (c == '[') return refuse("has a [ inside of brackets");
    if (c == '&' && regex_.substr(at_, 2) == "&&") return refuse("has && inside of brackets");
    if (c == ']' && at_ > class_begin_) in_class_ = false;
    copy(1);
    return {};
  }

  Status character() {
    const char c = regex_[at_];
    if (c == '[') {
      in_class_ = true;
      copy(regex_.substr(at_, 2) == "[^" ? 2 : 1);
      class_begin_ = at_;
      return {};
    }
    if (regex_.substr(at_, 2) == "(?") return group();
    if (c == '(' && regex_.substr(at_, 2) == "(*") return refuse("has (*");
    if (c == '{') return interval();
    copy(1);
    return {};
  }

  // {1,3}+ is possessive in PCRE2; in Oniguruma + repeats the repetition, as does ? after {3}.
  Status interval() {
    const std::size_t end = regex_.find('}', at_);
    const char after = end == std::string_view::npos || end + 1 == regex_.size() ? '\0' : regex_[end + 1];
    const std::string_view inside = regex_.substr(at_, end - at_);
    if (after == '+' && (inside.starts_with("{0,") || inside.starts_with("{1,"))) {
      replace(end + 2 - at_, inside[1] == '0' ? "*" : "+");
      return {};
    }
    if (after == '+' || (after == '?' && inside.find(',') == std::string_view::npos)) {
      return refuse("has + or ? after {}");
    }
    copy(1);
    return {};
  }

  Status group() {
    std::size_t end = at_ + 2;
    if (end < regex_.size() && std::string_view(":=!>").find(regex_[end]) != std::string_view::npos) {
      copy(3);
      return {};
    }
    if (regex_.substr(end, 2) == "<=" || regex_.substr(end, 2) == "<!") {
      copy(4);
      return {};
    }
    while (end < regex_.size() && (regex_[end] == 'i' || regex_[end] == '-')) ++end;
    if (end == at_ + 2 || end == regex_.size() || (regex_[end] != ':' && regex_[end] != ')')) {
      return refuse("has a group that is none of (?: (?= (?! (?<= (?<! (?> (?i: (?i)");
    }
    copy(end + 1 - at_);
    return {};
  }

  std::string_view regex_;
  std::string_view where_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::size_t class_begin_ = 0;
};

}  // namespace

Result<std::string> to_pcre2_syntax(std::string_view regex, std::string_view where) {
  return Rewriter(regex, where).run();
}

}  // namespace nvfp4::text
