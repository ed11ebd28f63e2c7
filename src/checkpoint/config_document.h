// A configuration file of a checkpoint as parsed JSON, with typed getters whose errors name the file and the key.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/model_root.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

using JsonElement = simdjson::dom::element;
using JsonObject = simdjson::dom::object;
using JsonArray = simdjson::dom::array;

// Python's json module writes bare NaN, Infinity and -Infinity, which JSON does not know. Returns the text with each of
// them outside of strings put in quotes.
[[nodiscard]] std::string quote_python_literals(std::string_view text);

class ConfigDocument {
 public:
  static constexpr std::uint64_t kMaxFileBytes = 64ULL << 20;
  static constexpr std::size_t kMaxDepth = 64;

  // An object at the top, no duplicate keys anywhere, depth at most kMaxDepth. `label` names the file in errors.
  [[nodiscard]] static Result<ConfigDocument> parse(std::string_view text, std::string label);
  // The file `name` of a model; nothing when there is none.
  [[nodiscard]] static Result<std::optional<ConfigDocument>> read(const ModelRoot& root, std::string_view name);

  [[nodiscard]] JsonObject root() const { return root_; }
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  ConfigDocument() = default;
  std::string label_;
  std::string text_;
  std::unique_ptr<simdjson::dom::parser> parser_;  // owns what root_ points into
  JsonObject root_;
};

// A place in a document, for typed reading: `where` is "config.json: quantization_config.config_groups.group_0".
struct JsonField {
  JsonElement element;
  std::string where;
};

// `where` without the directories: "hf_quant_config.json: quantization.quant_algo", for reports about one checkpoint.
[[nodiscard]] std::string_view without_directories(std::string_view where);

// The member `key` of `object`; nothing when it is absent or null.
[[nodiscard]] std::optional<JsonField> find_field(JsonObject object, std::string_view where, std::string_view key);

[[nodiscard]] Result<JsonObject> as_object(const JsonField& field);
[[nodiscard]] Result<JsonArray> as_array(const JsonField& field);
[[nodiscard]] Result<std::string> as_string(const JsonField& field);
[[nodiscard]] Result<bool> as_bool(const JsonField& field);
// An integer in [min, max].
[[nodiscard]] Result<std::uint64_t> as_uint(const JsonField& field, std::uint64_t min, std::uint64_t max);

}  // namespace nvfp4::checkpoint
