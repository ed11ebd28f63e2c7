#include "apps/input.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include "text/tokenizer.h"

namespace nvfp4::apps {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

Error no_token(const std::string& where, std::size_t idx, std::string_view word) {
  constexpr std::size_t kShown = 40;
  return {ErrorCode::kInvalidArgument, fmt::format("{}[{}]", where, idx),
          fmt::format("\"{}\"{} is not a token id; give numbers such as 1,2,3", word.substr(0, kShown),
                      word.size() > kShown ? "..." : "")};
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [after, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && after == text.data() + text.size();
}

}  // namespace

Result<std::vector<TokenId>> parse_tokens(std::string_view list, const std::string& where) {
  std::vector<TokenId> tokens;
  std::string_view rest = trimmed(list);
  if (rest.starts_with('[') && rest.ends_with(']')) rest = trimmed(rest.substr(1, rest.size() - 2));
  while (!rest.empty()) {
    const std::size_t length = std::min(rest.find_first_of(" \t\r\n,"), rest.size());
    const std::string_view word = rest.substr(0, length);
    TokenId token = 0;
    if (!parse_number(word, token)) return no_token(where, tokens.size(), word);
    tokens.push_back(token);
    rest = trimmed(rest.substr(length));
    if (!rest.starts_with(',')) continue;
    rest = trimmed(rest.substr(1));
    if (rest.empty()) return no_token(where, tokens.size(), rest);
  }
  return tokens;
}

Result<std::string> read_text(const std::string& path) {
  const auto close = [](std::FILE* file) { return file == stdin ? 0 : std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(path == "-" ? stdin : std::fopen(path.c_str(), "rb"), close);
  const std::string where = path == "-" ? "standard input" : path;
  if (file == nullptr) return Error{ErrorCode::kIo, where, fmt::format("cannot be opened: {}", std::strerror(errno))};
  std::string text;
  char buffer[65536];
  errno = 0;
  for (std::size_t count = 0; (count = std::fread(buffer, 1, sizeof(buffer), file.get())) > 0;) {
    text.append(buffer, count);
    if (text.size() > Tokenizer::kMaxTextBytes) {
      return Error{ErrorCode::kInvalidArgument, where,
                   fmt::format("has more than {} bytes; give less text", Tokenizer::kMaxTextBytes)};
    }
  }
  if (std::ferror(file.get()) == 0) return text;
  return Error{ErrorCode::kIo, where, fmt::format("cannot be read: {}", std::strerror(errno))};
}

CLI::Validator whole_number(std::uint64_t low, std::uint64_t high) {
  const std::string expected = high == std::numeric_limits<std::uint64_t>::max()
                                   ? fmt::format("a whole number from {} on", low)
                                   : fmt::format("a whole number from {} to {}", low, high);
  return CLI::Validator(
      [=](std::string& text) {
        std::uint64_t value = 0;
        const bool good = parse_number(text, value) && value >= low && value <= high;
        return good ? std::string() : fmt::format("\"{}\" is not {}", text, expected);
      },
      "");
}

CLI::Validator real_number(double low, double high) {
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        const bool good = parse_number(text, value) && value >= low && value <= high;  // never true of NaN
        return good ? std::string() : fmt::format("\"{}\" is not a number from {} to {}", text, low, high);
      },
      "");
}

}  // namespace nvfp4::apps
