#include "text/normalizer.h"

#include <fmt/format.h>

#include "base/file.h"
#include "text/nfc.h"

namespace nvfp4::text {

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  out.reserve(text.size());
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(pattern, at)) != std::string_view::npos; at = found + pattern.size()) {
    out += text.substr(at, found - at);
    out += content;
  }
  out += text.substr(at);
  return out;
}

Result<Normalizer> Normalizer::parse(const JsonField* field) {
  Normalizer normalizer;
  if (field != nullptr) NVFP4_RETURN_IF_ERROR(normalizer.add(*field));
  return normalizer;
}

Status Normalizer::add(const JsonField& field) {
  auto type = field.type();
  if (!type) return std::move(type).error();
  if (*type == "NFC") {
    steps_.push_back({Step::kCompose, "", ""});
    return {};
  }
  if (*type == "Prepend") {
    auto content = field.string_at("prepend", "");
    if (!content) return std::move(content).error();
    steps_.push_back({Step::kPrepend, "", std::move(content).value()});
    return {};
  }
  if (*type == "Replace") {
    auto pattern = field.at("pattern");
    if (!pattern) return std::move(pattern).error();
    auto text = pattern->string_at("String", "");
    if (!text) return std::move(text).error();
    if (text->empty()) return pattern->unsupported("this pattern", "a \"String\" that is not empty");
    auto content = field.string_at("content", "");
    if (!content) return std::move(content).error();
    steps_.push_back({Step::kReplace, std::move(text).value(), std::move(content).value()});
    return {};
  }
  if (*type != "Sequence") {
    return field.unsupported(fmt::format("the normalizer {}", quote_name(*type)), "NFC, Prepend, Replace, Sequence");
  }
  auto list_field = field.at("normalizers");
  if (!list_field) return std::move(list_field).error();
  auto list = list_field->array();
  if (!list) return std::move(list).error();
  std::size_t i = 0;
  for (const simdjson::dom::element item : *list) NVFP4_RETURN_IF_ERROR(add(list_field->item(item, i++)));
  return {};
}

std::string_view Normalizer::apply(std::string_view text, std::string& storage) const {
  std::string_view current = text;
  for (const Step& step : steps_) {
    std::string changed;
    switch (step.kind) {
      case Step::kCompose:
        if (is_surely_nfc(current)) continue;
        changed = to_nfc(current);
        break;
      case Step::kPrepend:
        if (current.empty()) continue;
        changed = step.content;
        changed += current;
        break;
      case Step::kReplace:
        if (current.find(step.pattern) == std::string_view::npos) continue;
        changed = replace_all(current, step.pattern, step.content);
        break;
    }
    storage = std::move(changed);
    current = storage;
  }
  return current;
}

}  // namespace nvfp4::text
