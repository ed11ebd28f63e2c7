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

}  // namespace

bool unescape_json_string(std::string_view body, std::string& out) {
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t backslash = std::min(body.find('\\', at), body.size());
    out.append(body, at, backslash - at);
    if (backslash == body.size()) return true;
    if (backslash + 1 == body.size()) return false;
    at = backslash + 2;
    switch (body[backslash + 1]) {
      case '"': out += '"'; break;
      case '\\': out += '\\'; break;
      case '/': out += '/'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u':
        if (!unescape_code_point(body, at, out)) return false;
        break;
      default: return false;
    }
  }
  return true;
}

bool is_finite_json_number(std::string_view token) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < token.size() && is_digit(token[at])) ++at;
    return token.substr(begin, at - begin);
  };
  if (at < token.size() && token[at] == '-') ++at;
  const std::string_view whole = digits();
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return false;
  std::string_view fraction;
  if (at < token.size() && token[at] == '.') {
    ++at;
    fraction = digits();
    if (fraction.empty()) return false;
  }
  bool negative_exponent = false;
  std::string_view exponent;
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) negative_exponent = token[at++] == '-';
    exponent = digits();
    if (exponent.empty()) return false;
  }
  if (at != token.size()) return false;
  if (whole.size() < 300 && exponent.size() < 2) return true;

  // from_chars tells too large from too small only by the same answer, but what is small is finite.
  double value = 0;
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), value);
  if (parsed.ec != std::errc::result_out_of_range) return true;
  const bool all_zero = whole.find_first_not_of('0') == std::string_view::npos &&
                        fraction.find_first_not_of('0') == std::string_view::npos;
  if (all_zero) return true;
  std::int64_t shift = 0;
  const auto shift_parsed = std::from_chars(exponent.data(), exponent.data() + exponent.size(), shift);
  if (shift_parsed.ec == std::errc::result_out_of_range) return negative_exponent;
  if (negative_exponent) shift = -shift;
  // Decimal places of the leading digit before the point (at least 1), or minus the zeros behind it.
  const auto places = whole[0] != '0' ? static_cast<std::int64_t>(whole.size())
                                      : -static_cast<std::int64_t>(fraction.find_first_not_of('0'));
  return places < 0 ? shift < -places : shift + places < 0;
}

}  // namespace nvfp4
