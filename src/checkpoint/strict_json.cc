#include "checkpoint/strict_json.h"

#include <algorithm>

#include "base/json_scalar.h"

namespace nvfp4::checkpoint {

static_assert(JsonText::kPaddingBytes >= simdjson::SIMDJSON_PADDING);

std::size_t count_char(std::string_view text, char wanted) {
  std::size_t num = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    // A byte can count a block this long: compilers turn the loop into one over whole vectors.
    const std::size_t end = std::min(begin + 255, text.size());
    std::uint8_t num_in_block = 0;
    for (; begin < end; ++begin)
      num_in_block = static_cast<std::uint8_t>(num_in_block + (text[begin] == wanted ? 1 : 0));
    num += num_in_block;
  }
  return num;
}

bool nothing_follows(json::document& document) {
  const char* location = nullptr;
  return document.current_location().get(location) == simdjson::OUT_OF_BOUNDS;
}

std::string_view trimmed_token(std::string_view token) {
  const std::size_t last = token.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view{} : token.substr(0, last + 1);
}

bool StrictJson::unescape(const char* begin, std::string_view& out) {
  const char* quote = begin;
  while (quote < end_ && *quote != '"') quote += *quote == '\\' ? 2 : 1;
  if (quote >= end_) return fail("a string is not closed");
  std::string& resolved = unescaped_.emplace_back();
  if (!unescape_json_string({begin, static_cast<std::size_t>(quote - begin)}, resolved)) {
    return fail("not valid JSON: a string has a bad escape or half a surrogate pair");
  }
  out = resolved;
  return true;
}

bool StrictJson::string(json::value& value, std::string_view& out) {
  json::raw_json_string raw;
  if (const auto error = value.get_raw_json_string().get(raw)) {
    return error == simdjson::INCORRECT_TYPE ? fail("must be a string") : fail(error);
  }
  return text_of(raw, out);
}

bool StrictJson::null(json::value& value) { return trimmed_token(value.raw_json_token()) == "null"; }

bool StrictJson::number(json::value& value, std::string_view& out) {
  out = trimmed_token(value.raw_json_token());
  return finite_json_number(out).has_value() || fail("not valid JSON: a number is malformed or too large");
}

bool StrictJson::check(json::value& value, int num_open) {
  // The iteration over the enclosing array or object steps over a token that was only looked at. Strings are taken,
  // because that step would accept a colon behind one.
  const std::string_view token = trimmed_token(value.raw_json_token());
  if (token.empty()) return fail("not valid JSON: a value is missing");
  switch (token.front()) {
    case '{':
      return check_object(value, num_open + 1);
    case '[':
      return check_array(value, num_open + 1);
    case '"': {
      std::string_view unused;
      const std::size_t num_unescaped = unescaped_.size();
      const bool good = string(value, unused);
      if (unescaped_.size() > num_unescaped) unescaped_.pop_back();
      return good;
    }
    case 't':
      return token == "true" || fail("not valid JSON: an unknown word");
    case 'f':
      return token == "false" || fail("not valid JSON: an unknown word");
    case 'n':
      return token == "null" || fail("not valid JSON: an unknown word");
    default:
      return number(value, const_cast<std::string_view&>(token));
  }
}

bool StrictJson::check_array(json::value& value, int num_open) {
  if (num_open > kMaxDepth) return fail("nests arrays and objects too deep");
  json::array array;
  if (const auto error = value.get_array().get(array)) return fail(error);
  for (auto element : array) {
    json::value inner;
    if (const auto error = std::move(element).get(inner)) return fail(error);
    if (!check(inner, num_open)) return false;
  }
  return true;
}

bool StrictJson::check_object(json::value& value, int num_open) {
  if (num_open > kMaxDepth) return fail("nests arrays and objects too deep");
  json::object object;
  if (const auto error = value.get_object().get(object)) return fail(error);
  for (auto entry : object) {
    json::field field;
    if (const auto error = std::move(entry).get(field)) return fail(error);
    std::string_view key;
    const std::size_t num_unescaped = unescaped_.size();
    if (!text_of(field.key(), key)) return false;
    if (unescaped_.size() > num_unescaped) unescaped_.pop_back();
    if (!check(field.value(), num_open)) return false;
  }
  return true;
}

}  // namespace nvfp4::checkpoint
