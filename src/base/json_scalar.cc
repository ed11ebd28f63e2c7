#include "base/json_scalar.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <system_error>

namespace nvfp4 {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::uint32_t code_point, std::string& out) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xe0 | code_point >> 12);
    } else {
      put(0xf0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3f));
    }
    put(0x80 | (code_point >> 6 & 0x3f));
  }
  put(0x80 | (code_point & 0x3f));
}

// The four hexadecimal digits at `at`.
std::optional<std::uint32_t> hex4(std::string_view body, std::size_t at) {
  if (at + 4 > body.size()) return std::nullopt;
  std::uint32_t value = 0;
  const char* const end = body.data() + at + 4;
  const auto [stop, error] = std::from_chars(body.data() + at, end, value, 16);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// Reads what follows `\u` at `at`, a second `\u` of a pair included. Moves `at` behind it.
bool unescape_code_point(std::string_view body, std::size_t& at, std::string& out) {
  const auto first = hex4(body, at);
  if (!first || (*first >= 0xdc00 && *first < 0xe000)) return false;
  at += 4;
  std::uint32_t code_point = *first;
  if (*first >= 0xd800 && *first < 0xdc00) {
    if (body.substr(at, 2) != "\\u") return false;
    const auto second = hex4(body, at + 2);
    if (!second || *second < 0xdc00 || *second >= 0xe000) return false;
    at += 6;
    code_point = 0x10000 + ((*first - 0xd800) << 10 | (*second - 0xdc00));
  }
  append_utf8(code_point, out);
  return true;
}

// -whole.fraction e exponent: the digits only.
struct NumberParts {
  std::string_view whole;
  std::string_view fraction;
  std::string_view exponent;
  bool negative_exponent = false;
};

std::optional<NumberParts> split_number(std::string_view token) {
  NumberParts parts;
  std::size_t at = 0;
  const auto next_is = [&](std::string_view any) {
    return at < token.size() && any.find(token[at]) != std::string_view::npos;
  };
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < token.size() && is_digit(token[at])) ++at;
    return token.substr(begin, at - begin);
  };
  if (next_is("-")) ++at;
  parts.whole = digits();
  if (parts.whole.empty() || (parts.whole.size() > 1 && parts.whole[0] == '0')) return std::nullopt;
  if (next_is(".")) {
    ++at;
    parts.fraction = digits();
    if (parts.fraction.empty()) return std::nullopt;
  }
  if (next_is("eE")) {
    ++at;
    if (next_is("+-")) parts.negative_exponent = token[at++] == '-';
    parts.exponent = digits();
    if (parts.exponent.empty()) return std::nullopt;
  }
  if (at != token.size()) return std::nullopt;
  return parts;
}

// Of a number that is not representable as a double: whether it is too large (rather than too close to zero).
bool is_too_large(const NumberParts& parts) {
  constexpr auto kNone = std::string_view::npos;
  const std::size_t leading_zeros = parts.fraction.find_first_not_of('0');
  if (parts.whole == "0" && leading_zeros == kNone) return false;
  std::int64_t exponent = 0;
  const auto parsed = std::from_chars(parts.exponent.data(), parts.exponent.data() + parts.exponent.size(), exponent);
  if (parsed.ec == std::errc::result_out_of_range) return !parts.negative_exponent;
  if (parts.negative_exponent) exponent = -exponent;
  const auto places =
      parts.whole == "0" ? -static_cast<std::int64_t>(leading_zeros) : static_cast<std::int64_t>(parts.whole.size());
  return exponent > -places;
}

}  // namespace

bool unescape_json_string(std::string_view body, std::string& out) {
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t backslash = std::min(body.find('\\', at), body.size());
    out.append(body, at, backslash - at);
    if (backslash == body.size()) return true;
    if (backslash + 1 == body.size()) return false;
    at = backslash + 2;
    switch (body[backslash + 1]) {
      case '"':
        out += '"';
        break;
      case '\\':
        out += '\\';
        break;
      case '/':
        out += '/';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u':
        if (!unescape_code_point(body, at, out)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

std::optional<double> finite_json_number(std::string_view token) {
  const auto parts = split_number(token);
  if (!parts) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc::result_out_of_range) return value;
  if (is_too_large(*parts)) return std::nullopt;
  return 0.0;
}

}  // namespace nvfp4
