// Typed reading of a JSON document; errors name the file and the field: "tokenizer.json: model.vocab".
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nvfp4/result.h"

namespace nvfp4::text {

struct JsonField {
  simdjson::dom::element element;
  std::string where;

  // The member; nothing when it is absent or null. This must be an object (see expect_object).
  [[nodiscard]] std::optional<JsonField> find(std::string_view key) const;
  [[nodiscard]] Result<JsonField> at(std::string_view key) const;
  // The element of an array.
  [[nodiscard]] JsonField item(simdjson::dom::element of, std::size_t idx) const;

  [[nodiscard]] Result<simdjson::dom::object> object() const;  // without a key that appears twice
  [[nodiscard]] Result<simdjson::dom::array> array() const;
  [[nodiscard]] Result<std::string_view> string() const;
  [[nodiscard]] Result<std::uint32_t> whole_number(std::uint32_t max) const;
  // Of members: `fallback` when absent.
  [[nodiscard]] Result<bool> bool_at(std::string_view key, bool fallback) const;
  [[nodiscard]] Result<std::string> string_at(std::string_view key, std::string_view fallback) const;
  // The member "type" of an object, which must be there.
  [[nodiscard]] Result<std::string> type() const;

  [[nodiscard]] Error error(ErrorCode code, std::string message) const { return {code, where, std::move(message)}; }
  // This kind of part, `type`, is none that this library knows.
  [[nodiscard]] Error unsupported(std::string_view what, std::string_view known) const;
  [[nodiscard]] Error wrong_type(std::string_view expected) const;
};

class JsonDocument {
 public:
  // An object at the top, at most 64 levels deep.
  [[nodiscard]] static Result<JsonDocument> parse(std::string_view text, std::string_view file_name);

  [[nodiscard]] const JsonField& root() const { return root_; }

 private:
  JsonDocument() = default;
  std::unique_ptr<simdjson::dom::parser> parser_;  // owns what root_ points into
  JsonField root_;
};

}  // namespace nvfp4::text
