// From the fields of a tokenizer.json to the parts of a Tokenizer.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "text/tokenizer_parts.h"

namespace nvfp4::text {
namespace {

// The bytes and flags of all tokens.
void describe_tokens(TokenizerParts& parts) {
  std::vector<const AddedToken*> by_id(parts.flags.size(), nullptr);
  for (const AddedToken& token : parts.added) by_id[token.id] = &token;
  for (TokenId id = 0; id < parts.flags.size(); ++id) {
    const AddedToken* added = by_id[id];
    if (added == nullptr && !parts.model.vocabulary().has(id)) continue;
    const std::string_view text = added != nullptr ? added->pattern : parts.model.vocabulary().text(id);
    parts.decoded.store(id, parts.decode_rules.bytes_of(text));
    if (parts.decode_rules.fallback_byte(text) >= 0) parts.flags[id] |= TokenizerParts::kFallbackByte;
    // The original asks by the normalised text whether a token is special.
    if (added != nullptr && added->special && added->pattern == added->content) {
      parts.flags[id] |= TokenizerParts::kSpecial;
    }
  }
}

const JsonField* pointer_to(const std::optional<JsonField>& field) { return field ? &*field : nullptr; }

// A special token of tokenizer_config.json: its text, or an object that has it as "content".
Result<std::string> token_text_at(const JsonField& root, std::string_view key) {
  auto field = root.at(key);
  if (!field) return std::move(field).error();
  if (field->element.is_object()) return field->string_at("content", "");
  auto text = field->string();
  if (!text) return std::move(text).error();
  return std::string(*text);
}

}  // namespace

TokenId TokenizerParts::find(std::string_view token_text) const {
  const auto at = std::lower_bound(added.begin(), added.end(), token_text,
                                   [](const AddedToken& token, std::string_view text) { return token.content < text; });
  if (at != added.end() && at->content == token_text) return at->id;
  return model.vocabulary().find(token_text);
}

Result<std::unique_ptr<TokenizerParts>> read_tokenizer(const JsonField& root) {
  auto version = root.string_at("version", "1.0");
  if (!version) return std::move(version).error();
  if (*version != "1.0") return root.unsupported(fmt::format("the version {}", quote_name(*version)), "1.0");
  auto normalizer = Normalizer::parse(pointer_to(root.find("normalizer")));
  if (!normalizer) return std::move(normalizer).error();
  auto pre_tokenizer = PreTokenizer::parse(pointer_to(root.find("pre_tokenizer")));
  if (!pre_tokenizer) return std::move(pre_tokenizer).error();
  auto model_field = root.at("model");
  if (!model_field) return std::move(model_field).error();
  auto model = BpeModel::parse(*model_field, pre_tokenizer->is_byte_level() ? Symbols::kBytes : Symbols::kCharacters);
  if (!model) return std::move(model).error();
  const auto added_field = root.find("added_tokens");
  auto added = read_added_tokens(pointer_to(added_field), *model, *normalizer);
  if (!added) return std::move(added).error();
  const std::string where = added_field ? added_field->where : root.where;
  auto raw = TokenFinder::make(*added, false, where);
  if (!raw) return std::move(raw).error();
  auto normalized = TokenFinder::make(*added, true, where);
  if (!normalized) return std::move(normalized).error();
  auto decode_rules = read_decode_rules(pointer_to(root.find("decoder")));
  if (!decode_rules) return std::move(decode_rules).error();
  auto post_processor = read_post_processor(pointer_to(root.find("post_processor")));
  if (!post_processor) return std::move(post_processor).error();

  // The ids of added tokens are those of the model or count on from its number of tokens.
  std::size_t num_ids = model->vocabulary().num_ids();
  for (const AddedToken& token : *added) num_ids = std::max<std::size_t>(num_ids, token.id + 1);
  auto parts = std::make_unique<TokenizerParts>(std::move(raw).value(), std::move(normalized).value(),
                                                std::move(normalizer).value(), std::move(pre_tokenizer).value(),
                                                std::move(model).value(), num_ids);
  parts->post_processor = std::move(post_processor).value();
  parts->decode_rules = std::move(decode_rules).value();
  parts->added = std::move(added).value();
  describe_tokens(*parts);
  std::sort(parts->added.begin(), parts->added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  return parts;
}

Status apply_tokenizer_config(const JsonField& root, TokenizerParts& parts) {
  if (parts.post_processor.tells) return {};
  for (const bool at_end : {false, true}) {
    auto wanted = root.bool_at(at_end ? "add_eos_token" : "add_bos_token", false);
    if (!wanted) return std::move(wanted).error();
    if (!*wanted) continue;
    const std::string_view key = at_end ? "eos_token" : "bos_token";
    auto text = token_text_at(root, key);
    if (!text) return std::move(text).error();
    const TokenId id = parts.find(*text);
    if (id == kNoToken) {
      return Error{ErrorCode::kContradiction, fmt::format("{}: {}", root.where, key),
                   fmt::format("{} is no token of tokenizer.json", quote_name(*text))};
    }
    (at_end ? parts.post_processor.after : parts.post_processor.before).push_back(id);
  }
  return {};
}

}  // namespace nvfp4::text
