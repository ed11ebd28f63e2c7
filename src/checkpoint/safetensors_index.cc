#include "checkpoint/safetensors_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/json_scalar.h"
#include "checkpoint/foreign_file.h"
#include "checkpoint/strict_json.h"

namespace nvfp4::checkpoint {
namespace {

// Why a shard's name cannot be used; empty when it can.
std::string_view shard_name_problem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.find('\0') != std::string_view::npos) return "has a NUL character";
  if (name.front() == '/') return "is an absolute path; shards must lie in the model folder";
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "..") return "leaves the model folder by \"..\"";
    if (part.empty() || part == ".") return "is not a plain relative path";
    begin = end + 1;
  }
  return {};
}

class IndexWalk {
 public:
  explicit IndexWalk(ShardIndex& index) : index_(index), strict_(index.text.view(), index.unescaped) {}

  [[nodiscard]] bool run(json::document& document);
  [[nodiscard]] Error error(std::string_view label) const;

 private:
  bool weight_map(json::value& value);
  bool entry(json::field& field);
  bool shard(std::string_view name, std::uint32_t& shard_idx);
  bool metadata(json::value& value);
  void sort_shards();

  bool fail(std::string problem) { return strict_.fail(std::move(problem)); }
  bool fail(simdjson::error_code error) { return strict_.fail(error); }

  ShardIndex& index_;
  StrictJson strict_;
  std::unordered_map<std::string_view, std::uint32_t> shard_idx_of_;
  std::string_view recent_shard_;
  std::uint32_t recent_shard_idx_ = 0;
  std::string_view field_;
  std::string_view tensor_;
  bool in_tensor_ = false;
};

Error IndexWalk::error(std::string_view label) const {
  std::string where(label);
  if (!field_.empty()) where += ": " + std::string(field_);
  if (in_tensor_) where += ": tensor " + quote_name(tensor_);
  return Error{ErrorCode::kMalformed, std::move(where), strict_.problem()};
}

bool IndexWalk::run(json::document& document) {
  json::object object;
  if (const auto error = document.get_object().get(object)) {
    return error == simdjson::INCORRECT_TYPE ? fail("is not a JSON object") : fail(error);
  }
  bool has_weight_map = false;
  bool has_metadata = false;
  for (auto entry_result : object) {
    field_ = {};
    if (const auto error = entry_result.error()) return fail(error);
    json::field&& field = std::move(entry_result).value_unsafe();
    std::string_view key;
    if (!strict_.text_of(field.key(), key)) return false;
    if (key == "weight_map") {
      field_ = "weight_map";
      if (std::exchange(has_weight_map, true)) return fail("is there twice");
      if (!weight_map(field.value())) return false;
    } else if (key == "metadata") {
      field_ = "metadata";
      if (std::exchange(has_metadata, true)) return fail("is there twice");
      if (!metadata(field.value())) return false;
    } else if (!strict_.check(field.value(), 1)) {
      return false;
    }
  }
  field_ = {};
  if (!nothing_follows(document)) return fail("not valid JSON: something follows the last brace");
  if (!has_weight_map) return fail("has no weight_map, which says where each tensor is; download it again");
  field_ = "weight_map";
  if (index_.entries.empty()) return fail("names no tensor");
  sort_shards();
  return true;
}

bool IndexWalk::weight_map(json::value& value) {
  json::object object;
  if (value.get_object().get(object)) return fail("must be an object from tensor names to file names");
  for (auto entry_result : object) {
    in_tensor_ = false;
    if (const auto error = entry_result.error()) return fail(error);
    json::field&& field = std::move(entry_result).value_unsafe();
    if (!entry(field)) return false;
  }
  in_tensor_ = false;
  return true;
}

bool IndexWalk::entry(json::field& field) {
  if (!strict_.text_of(field.key(), tensor_)) return false;
  in_tensor_ = true;
  std::string_view name;
  if (!strict_.string(field.value(), name)) return false;
  std::uint32_t shard_idx = recent_shard_idx_;
  if (name != recent_shard_ || index_.shards.empty()) {
    if (!shard(name, shard_idx)) return false;
    recent_shard_ = name;
    recent_shard_idx_ = shard_idx;
  }
  index_.entries.push_back({tensor_, shard_idx});
  return true;
}

bool IndexWalk::shard(std::string_view name, std::uint32_t& shard_idx) {
  const auto found = shard_idx_of_.find(name);
  if (found != shard_idx_of_.end()) {
    shard_idx = found->second;
    return true;
  }
  const std::string_view problem = shard_name_problem(name);
  if (!problem.empty()) return fail(fmt::format("its file name {} {}", quote_name(name), problem));
  shard_idx = static_cast<std::uint32_t>(index_.shards.size());
  index_.shards.emplace_back(name);
  shard_idx_of_.emplace(name, shard_idx);
  return true;
}

bool IndexWalk::metadata(json::value& value) {
  json::json_type type{};
  if (const auto error = value.type().get(type)) return fail(error);
  if (type != json::json_type::object) return strict_.check(value, 1);
  json::object object;
  if (const auto error = value.get_object().get(object)) return fail(error);
  for (auto entry_result : object) {
    if (const auto error = entry_result.error()) return fail(error);
    json::field&& field = std::move(entry_result).value_unsafe();
    std::string_view key;
    if (!strict_.text_of(field.key(), key)) return false;
    json::value& inner = field.value();
    json::json_type inner_type{};
    if (const auto error = inner.type().get(inner_type)) return fail(error);
    if (key == "total_size" && inner_type == json::json_type::number) {
      std::string_view token;
      if (!strict_.number(inner, token)) return false;
      index_.total_size = finite_json_number(token);
    } else if (!strict_.check(inner, 2)) {
      return false;
    }
  }
  return true;
}

void IndexWalk::sort_shards() {
  std::vector<std::uint32_t> order(index_.shards.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return index_.shards[a] < index_.shards[b]; });
  std::vector<std::uint32_t> place(order.size());
  std::vector<std::string> sorted;
  sorted.reserve(order.size());
  for (const std::uint32_t shard_idx : order) {
    place[shard_idx] = static_cast<std::uint32_t>(sorted.size());
    sorted.push_back(std::move(index_.shards[shard_idx]));
  }
  index_.shards = std::move(sorted);
  for (ShardIndex::Entry& entry : index_.entries) entry.shard_idx = place[entry.shard_idx];
}

}  // namespace

Result<ShardIndex> parse_shard_index(std::string_view label, JsonText text) {
  const auto fail = [&](std::string message) {
    return Error{ErrorCode::kMalformed, std::string(label), std::move(message)};
  };
  ShardIndex index;
  index.text = std::move(text);
  const std::string_view json_text = index.text.view();
  if (json_text.empty()) return fail("the file is empty; download it again");
  index.entries.reserve(json_text.size() / 64);  // what an entry takes as a rule

  json::parser parser;
  json::document document;
  const simdjson::padded_string_view padded(json_text.data(), json_text.size(),
                                            json_text.size() + JsonText::kPaddingBytes);
  IndexWalk walk(index);
  const auto parse_error = parser.iterate(padded).get(document);
  if (parse_error == simdjson::SUCCESS && walk.run(document)) return index;
  if (!json_text.starts_with('{')) {
    if (const auto advice = foreign_file_advice(json_text.substr(0, 64))) return fail(*advice);
  }
  if (parse_error != simdjson::SUCCESS) {
    return fail(fmt::format("not valid JSON: {}; download it again", simdjson::error_message(parse_error)));
  }
  return walk.error(label);
}

Result<ShardIndex> read_shard_index(const File& file) {
  if (file.num_bytes() > ShardIndex::kMaxBytes) {
    return Error{
        ErrorCode::kMalformed, file.label(),
        fmt::format("has {} bytes, more than the {} that an index may have", file.num_bytes(), ShardIndex::kMaxBytes)};
  }
  LargePagePool pool;
  JsonText text(file.num_bytes(), pool);
  if (!text.valid()) return Error{ErrorCode::kIo, file.label(), "no memory for the index"};
  NVFP4_RETURN_IF_ERROR(file.read_at(0, text.bytes()));
  return parse_shard_index(file.label(), std::move(text));
}

}  // namespace nvfp4::checkpoint
