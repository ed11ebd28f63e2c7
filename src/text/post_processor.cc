#include "text/post_processor.h"

#include <fmt/format.h>

#include "base/file.h"

namespace nvfp4::text {
namespace {

constexpr std::size_t kMaxTokensAround = 1024;

// The tokens of one part, which stand around those of the parts before it.
struct Around {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

void wrap(PostProcessor& out, const Around& around) {
  out.before.insert(out.before.begin(), around.before.begin(), around.before.end());
  out.after.insert(out.after.end(), around.after.begin(), around.after.end());
  out.tells = true;
}

// The ids of special_tokens[name].
Status append_special(const JsonField& template_field, std::string_view name, std::vector<TokenId>& out) {
  auto table = template_field.at("special_tokens");
  if (!table) return std::move(table).error();
  auto special = table->at(name);
  if (!special) return std::move(special).error();
  auto ids_field = special->at("ids");
  if (!ids_field) return std::move(ids_field).error();
  auto ids = ids_field->array();
  if (!ids) return std::move(ids).error();
  std::size_t i = 0;
  for (const simdjson::dom::element item : *ids) {
    auto id = ids_field->item(item, i++).whole_number(kNoToken - 1);
    if (!id) return std::move(id).error();
    if (out.size() == kMaxTokensAround) {
      return ids_field->error(ErrorCode::kUnsupported, fmt::format("adds more than {} tokens", kMaxTokensAround));
    }
    out.push_back(*id);
  }
  return {};
}

Status read_template(const JsonField& field, PostProcessor& out) {
  auto list_field = field.at("single");
  if (!list_field) return std::move(list_field).error();
  auto list = list_field->array();
  if (!list) return std::move(list).error();
  Around around;
  bool text_seen = false;
  std::size_t i = 0;
  for (const simdjson::dom::element item : *list) {
    const JsonField piece = list_field->item(item, i++);
    if (const auto sequence = piece.find("Sequence")) {
      auto name = sequence->string_at("id", "");
      if (!name) return std::move(name).error();
      if (*name != "A" || text_seen) {
        return sequence->unsupported("a template with another sequence than one A", "one A");
      }
      text_seen = true;
      continue;
    }
    auto special = piece.at("SpecialToken");
    if (!special) return std::move(special).error();
    auto name = special->string_at("id", "");
    if (!name) return std::move(name).error();
    NVFP4_RETURN_IF_ERROR(append_special(field, *name, text_seen ? around.after : around.before));
  }
  if (!text_seen) return list_field->error(ErrorCode::kMalformed, "the template has no place for the text");
  wrap(out, around);
  return {};
}

// "cls" and "sep", each ["text", id].
Status read_classifier(const JsonField& field, PostProcessor& out) {
  Around around;
  for (const auto& [key, target] : {std::pair{"cls", &around.before}, std::pair{"sep", &around.after}}) {
    auto pair_field = field.at(key);
    if (!pair_field) return std::move(pair_field).error();
    auto pair = pair_field->array();
    if (!pair) return std::move(pair).error();
    if (pair->size() != 2) return pair_field->wrong_type("a token and its id");
    auto id = pair_field->item(pair->at(1).value_unsafe(), 1).whole_number(kNoToken - 1);
    if (!id) return std::move(id).error();
    target->push_back(*id);
  }
  wrap(out, around);
  return {};
}

Status add(const JsonField& field, PostProcessor& out) {
  auto type = field.type();
  if (!type) return std::move(type).error();
  if (*type == "ByteLevel") return {};
  if (*type == "TemplateProcessing") return read_template(field, out);
  if (*type == "BertProcessing" || *type == "RobertaProcessing") return read_classifier(field, out);
  if (*type != "Sequence") {
    return field.unsupported(fmt::format("the post_processor {}", quote_name(*type)),
                             "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
  }
  auto list_field = field.at("processors");
  if (!list_field) return std::move(list_field).error();
  auto list = list_field->array();
  if (!list) return std::move(list).error();
  std::size_t i = 0;
  for (const simdjson::dom::element item : *list) NVFP4_RETURN_IF_ERROR(add(list_field->item(item, i++), out));
  return {};
}

}  // namespace

Result<PostProcessor> read_post_processor(const JsonField* field) {
  PostProcessor out;
  if (field != nullptr) NVFP4_RETURN_IF_ERROR(add(*field, out));
  return out;
}

}  // namespace nvfp4::text
