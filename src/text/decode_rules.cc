#include "text/decode_rules.h"

#include <fmt/format.h>

#include <charconv>

#include "base/file.h"
#include "text/byte_alphabet.h"
#include "text/code_points.h"
#include "text/normalizer.h"

namespace nvfp4::text {
namespace {

constexpr std::string_view kMetaSpace = "\xe2\x96\x81";
constexpr std::string_view kKnown = "ByteLevel, Metaspace, Sequence of Replace, ByteFallback, Fuse, Strip";

class Reader {
 public:
  Status add(const JsonField& field) {
    auto type = field.type();
    if (!type) return std::move(type).error();
    if (*type == "Sequence") return add_sequence(field);
    if (rules_.kind == DecodeRules::kBytes && *type != "Fuse") {
      return field.unsupported(fmt::format("the decoder {} after ByteLevel", quote_name(*type)), "ByteLevel alone");
    }
    if (*type == "ByteLevel") {
      if (any_) return field.unsupported("ByteLevel after other decoders", "ByteLevel alone");
      rules_.kind = DecodeRules::kBytes;
      any_ = true;
      return {};
    }
    if (!any_) rules_.kind = DecodeRules::kPieces;
    any_ = true;
    return add_piece_step(*type, field);
  }

  DecodeRules take() { return std::move(rules_); }

 private:
  Status add_sequence(const JsonField& field) {
    auto list_field = field.at("decoders");
    if (!list_field) return std::move(list_field).error();
    auto list = list_field->array();
    if (!list) return std::move(list).error();
    std::size_t i = 0;
    for (const simdjson::dom::element item : *list) NVFP4_RETURN_IF_ERROR(add(list_field->item(item, i++)));
    return {};
  }

  Status add_piece_step(std::string_view type, const JsonField& field) {
    if (type == "Fuse") {
      fused_ = true;
      return {};
    }
    if (type == "Strip") return add_strip(field);
    if (type == "ByteFallback" && !fused_) {
      rules_.byte_fallback = true;
      return {};
    }
    if (type == "Replace" && !fused_ && !rules_.byte_fallback) return add_replace(field);
    if (type == "Metaspace" && !fused_ && rules_.replacements.empty() && !rules_.byte_fallback) {
      return add_metaspace(field);
    }
    return field.unsupported(fmt::format("the decoder {} at this place", quote_name(type)), kKnown);
  }

  Status add_strip(const JsonField& field) {
    auto content = field.string_at("content", "");
    if (!content) return std::move(content).error();
    std::uint32_t counts[2] = {0, 0};
    for (int i = 0; i < 2; ++i) {
      const auto count_field = field.find(i == 0 ? "start" : "stop");
      if (!count_field) continue;
      auto count = count_field->whole_number(1 << 20);
      if (!count) return std::move(count).error();
      counts[i] = *count;
    }
    const bool one_character = !content->empty() && decode_at(content->data()).num_bytes == content->size();
    if (!fused_ || rules_.num_stripped != 0 || counts[1] != 0 || !one_character) {
      return field.unsupported("this Strip", "one Strip of one character after Fuse, with \"stop\" 0");
    }
    rules_.stripped = std::move(content).value();
    rules_.num_stripped = counts[0];
    return {};
  }

  Status add_replace(const JsonField& field) {
    auto pattern = field.at("pattern");
    if (!pattern) return std::move(pattern).error();
    auto text = pattern->string_at("String", "");
    if (!text) return std::move(text).error();
    if (text->empty()) return pattern->unsupported("this pattern", "a \"String\" that is not empty");
    auto content = field.string_at("content", "");
    if (!content) return std::move(content).error();
    rules_.replacements.emplace_back(std::move(text).value(), std::move(content).value());
    return {};
  }

  Status add_metaspace(const JsonField& field) {
    auto replacement = field.string_at("replacement", kMetaSpace);
    if (!replacement) return std::move(replacement).error();
    if (*replacement != kMetaSpace) {
      return field.unsupported(fmt::format("the replacement {}", quote_name(*replacement)), "U+2581");
    }
    auto prefix = field.bool_at("add_prefix_space", true);
    if (!prefix) return std::move(prefix).error();
    auto scheme = field.string_at("prepend_scheme", *prefix ? "always" : "never");
    if (!scheme) return std::move(scheme).error();
    rules_.first_token_loses_spaces = *scheme != "never";
    rules_.replacements.emplace_back(kMetaSpace, " ");
    return {};
  }

  DecodeRules rules_;
  bool any_ = false;
  bool fused_ = false;
};

}  // namespace

int DecodeRules::fallback_byte(std::string_view text) const {
  if (!byte_fallback || text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  unsigned value = 0;
  const auto [end, code] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  return code == std::errc() && end == text.data() + 5 ? static_cast<int>(value) : -1;
}

std::string DecodeRules::bytes_of(std::string_view text) const {
  if (kind == kBytes) {
    auto bytes = bytes_of_spelling(text);
    return bytes ? *std::move(bytes) : std::string(text);
  }
  std::string out(text);
  for (const auto& [from, to] : replacements) {
    if (out.find(from) != std::string::npos) out = replace_all(out, from, to);
  }
  if (const int byte = fallback_byte(out); byte >= 0) return std::string(1, static_cast<char>(byte));
  return out;
}

Result<DecodeRules> read_decode_rules(const JsonField* field) {
  Reader reader;
  if (field != nullptr) NVFP4_RETURN_IF_ERROR(reader.add(*field));
  return reader.take();
}

}  // namespace nvfp4::text
