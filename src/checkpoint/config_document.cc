#include "checkpoint/config_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/file.h"

namespace nvfp4::checkpoint {
namespace {

// Calls report(key path) for the first duplicate key below `element` and returns false; true when there is none.
std::optional<std::string> find_duplicate_key(JsonElement element, const std::string& where) {
  if (JsonObject object; element.get(object) == simdjson::SUCCESS) {
    std::vector<std::string_view> keys;
    for (auto [key, value] : object) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    if (auto it = std::adjacent_find(keys.begin(), keys.end()); it != keys.end()) {
      return fmt::format("{}{}{}", where, where.empty() ? "" : ".", *it);
    }
    for (auto [key, value] : object) {
      if (!value.is_object() && !value.is_array()) continue;
      if (auto found = find_duplicate_key(value, fmt::format("{}{}{}", where, where.empty() ? "" : ".", key)))
        return found;
    }
  } else if (JsonArray array; element.get(array) == simdjson::SUCCESS) {
    std::size_t i = 0;
    for (JsonElement value : array) {
      if (value.is_object() || value.is_array()) {
        if (auto found = find_duplicate_key(value, fmt::format("{}[{}]", where, i))) return found;
      }
      ++i;
    }
  }
  return std::nullopt;
}

Error wrong_type(const JsonField& field, std::string_view expected) {
  std::string found = simdjson::minify(field.element);
  if (found.size() > 40) found = found.substr(0, 37) + "...";
  return {ErrorCode::kMalformed, field.where, fmt::format("expected {}, found {}", expected, found)};
}

}  // namespace

std::string quote_python_literals(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (in_string) {
      const std::size_t n = (c == '\\' && i + 1 < text.size()) ? 2 : 1;
      out.append(text, i, n);
      i += n;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    std::size_t matched = 0;
    for (std::string_view literal :
         {std::string_view("NaN"), std::string_view("Infinity"), std::string_view("-Infinity")}) {
      if (text.substr(i, literal.size()) == literal) matched = literal.size();
    }
    if (matched > 0) {
      out += '"';
      out.append(text, i, matched);
      out += '"';
      i += matched;
    } else {
      out += c;
      ++i;
    }
  }
  return out;
}

Result<ConfigDocument> ConfigDocument::parse(std::string_view text, std::string label) {
  ConfigDocument document;
  document.label_ = std::move(label);
  document.text_ = quote_python_literals(text);
  document.parser_ = std::make_unique<simdjson::dom::parser>(kMaxFileBytes * 2);
  simdjson::error_code error = document.parser_->allocate(std::max<std::size_t>(document.text_.size(), 64), kMaxDepth);
  JsonElement element;
  if (error == simdjson::SUCCESS) error = document.parser_->parse(document.text_).get(element);
  if (error == simdjson::DEPTH_ERROR) {
    return Error{ErrorCode::kMalformed, document.label_, fmt::format("nested deeper than {} levels", kMaxDepth)};
  }
  if (error != simdjson::SUCCESS) {
    return Error{ErrorCode::kMalformed, document.label_,
                 fmt::format("not valid JSON ({}); the file may be truncated or a download page",
                             simdjson::error_message(error))};
  }
  if (element.get(document.root_) != simdjson::SUCCESS) {
    return Error{ErrorCode::kMalformed, document.label_, "expected a JSON object at the top level"};
  }
  if (auto key = find_duplicate_key(element, "")) {
    return Error{ErrorCode::kMalformed, fmt::format("{}: {}", document.label_, *key),
                 "the key appears twice; remove one"};
  }
  return document;
}

Result<std::optional<ConfigDocument>> ConfigDocument::read(const ModelRoot& root, std::string_view name) {
  const auto file = root.open_file(name);
  if (!file) {
    std::error_code unknown;
    const bool dangling = std::filesystem::exists(std::filesystem::symlink_status(root.path() / name, unknown));
    if (file.error().code == ErrorCode::kNotFound && !dangling) return std::optional<ConfigDocument>();
    return file.error();
  }
  auto text = read_text(*file, kMaxFileBytes);
  if (!text) return std::move(text).error();
  auto document = parse(*text, file->label());
  if (!document) return std::move(document).error();
  return std::optional<ConfigDocument>(std::move(document).value());
}

std::string_view without_directories(std::string_view where) {
  const std::size_t slash = where.substr(0, where.find(": ")).rfind('/');
  return slash == std::string_view::npos ? where : where.substr(slash + 1);
}

std::optional<JsonField> find_field(JsonObject object, std::string_view where, std::string_view key) {
  JsonElement element;
  if (object.at_key(key).get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
  const bool at_root = !where.empty() && where.find(": ") == std::string_view::npos;
  return JsonField{element, fmt::format("{}{}{}", where, at_root ? ": " : ".", key)};
}

Result<JsonObject> as_object(const JsonField& field) {
  JsonObject value;
  if (field.element.get(value) != simdjson::SUCCESS) return wrong_type(field, "an object");
  return value;
}

Result<JsonArray> as_array(const JsonField& field) {
  JsonArray value;
  if (field.element.get(value) != simdjson::SUCCESS) return wrong_type(field, "an array");
  return value;
}

Result<std::string> as_string(const JsonField& field) {
  std::string_view value;
  if (field.element.get(value) != simdjson::SUCCESS) return wrong_type(field, "a string");
  return std::string(value);
}

Result<bool> as_bool(const JsonField& field) {
  bool value = false;
  if (field.element.get(value) != simdjson::SUCCESS) return wrong_type(field, "true or false");
  return value;
}

Result<std::uint64_t> as_uint(const JsonField& field, std::uint64_t min, std::uint64_t max) {
  std::uint64_t value = 0;
  if (field.element.get(value) != simdjson::SUCCESS || value < min || value > max) {
    return wrong_type(field, fmt::format("a whole number from {} to {}", min, max));
  }
  return value;
}

}  // namespace nvfp4::checkpoint
