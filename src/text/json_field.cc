#include "text/json_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/file.h"

namespace nvfp4::text {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxKeys = 4096;  // of objects read member by member

std::string describe(simdjson::dom::element element) {
  if (element.is_array()) return "an array";
  if (element.is_object()) return "an object";
  std::string_view text;
  if (element.get(text) == simdjson::SUCCESS) return quote_name(text);
  return simdjson::minify(element);
}

}  // namespace

Error JsonField::wrong_type(std::string_view expected) const {
  return error(ErrorCode::kMalformed, fmt::format("expected {}, found {}", expected, describe(element)));
}

Error JsonField::unsupported(std::string_view what, std::string_view known) const {
  return error(ErrorCode::kUnsupported, fmt::format("{} is not supported; supported: {}", what, known));
}

std::optional<JsonField> JsonField::find(std::string_view key) const {
  simdjson::dom::object members;
  if (element.get(members) != simdjson::SUCCESS) return std::nullopt;
  simdjson::dom::element member;
  if (members.at_key(key).get(member) != simdjson::SUCCESS || member.is_null()) return std::nullopt;
  const bool at_root = where.find(": ") == std::string::npos;
  return JsonField{member, fmt::format("{}{}{}", where, at_root ? ": " : ".", key)};
}

Result<JsonField> JsonField::at(std::string_view key) const {
  if (auto field = find(key)) return *std::move(field);
  return error(ErrorCode::kMalformed, fmt::format("the field \"{}\" is missing", key));
}

JsonField JsonField::item(simdjson::dom::element of, std::size_t idx) const {
  return {of, fmt::format("{}[{}]", where, idx)};
}

Result<simdjson::dom::object> JsonField::object() const {
  simdjson::dom::object value;
  if (element.get(value) != simdjson::SUCCESS) return wrong_type("an object");
  std::vector<std::string_view> keys;
  for (auto [key, member] : value) {
    keys.push_back(key);
    if (keys.size() > kMaxKeys) return error(ErrorCode::kMalformed, fmt::format("has more than {} fields", kMaxKeys));
  }
  std::sort(keys.begin(), keys.end());
  if (auto twice = std::adjacent_find(keys.begin(), keys.end()); twice != keys.end()) {
    return error(ErrorCode::kMalformed, fmt::format("has the key {} twice; remove one", quote_name(*twice)));
  }
  return value;
}

Result<simdjson::dom::array> JsonField::array() const {
  simdjson::dom::array value;
  if (element.get(value) != simdjson::SUCCESS) return wrong_type("an array");
  return value;
}

Result<std::string_view> JsonField::string() const {
  std::string_view value;
  if (element.get(value) != simdjson::SUCCESS) return wrong_type("a string");
  return value;
}

Result<std::uint32_t> JsonField::whole_number(std::uint32_t max) const {
  std::uint64_t value = 0;
  if (element.get(value) != simdjson::SUCCESS || value > max) {
    return wrong_type(fmt::format("a whole number from 0 to {}", max));
  }
  return static_cast<std::uint32_t>(value);
}

Result<bool> JsonField::bool_at(std::string_view key, bool fallback) const {
  const auto field = find(key);
  if (!field) return fallback;
  bool value = false;
  if (field->element.get(value) != simdjson::SUCCESS) return field->wrong_type("true or false");
  return value;
}

Result<std::string> JsonField::string_at(std::string_view key, std::string_view fallback) const {
  const auto field = find(key);
  if (!field) return std::string(fallback);
  auto value = field->string();
  if (!value) return std::move(value).error();
  return std::string(*value);
}

Result<std::string> JsonField::type() const {
  if (auto members = object(); !members) return std::move(members).error();
  auto field = at("type");
  if (!field) return std::move(field).error();
  auto value = field->string();
  if (!value) return std::move(value).error();
  return std::string(*value);
}

Result<JsonDocument> JsonDocument::parse(std::string_view text, std::string_view file_name) {
  JsonDocument document;
  document.root_.where = file_name;
  document.parser_ = std::make_unique<simdjson::dom::parser>();
  simdjson::error_code code = document.parser_->allocate(std::max<std::size_t>(text.size(), 64), kMaxDepth);
  if (code == simdjson::SUCCESS) code = document.parser_->parse(text.data(), text.size()).get(document.root_.element);
  if (code != simdjson::SUCCESS) {
    return document.root_.error(ErrorCode::kMalformed,
                                code == simdjson::DEPTH_ERROR
                                    ? fmt::format("nested deeper than {} levels", kMaxDepth)
                                    : fmt::format("not valid JSON ({}); the file may be truncated or a download page",
                                                  simdjson::error_message(code)));
  }
  if (auto members = document.root_.object(); !members) return std::move(members).error();
  return document;
}

}  // namespace nvfp4::text
