// Reading the object "model" of a tokenizer.json.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "text/bpe_model.h"
#include "text/byte_alphabet.h"

namespace nvfp4::text {
namespace {

constexpr std::size_t kMaxTokens = 1 << 23;
constexpr std::size_t kMaxMerges = 1 << 23;  // simdjson counts no further than 2^24

// Ids may have holes, but not so many that a table by id would be larger than the file.
std::uint32_t largest_allowed_id(std::size_t num_tokens) { return static_cast<std::uint32_t>(2 * num_tokens + 65536); }

struct VocabularyEntry {
  std::string_view text;
  TokenId id;
};

Result<std::vector<VocabularyEntry>> read_entries(const JsonField& field) {
  simdjson::dom::object members;
  if (field.element.get(members) != simdjson::SUCCESS) return field.wrong_type("an object");
  if (members.size() > kMaxTokens) {
    return field.error(ErrorCode::kUnsupported, fmt::format("has more than {} tokens", kMaxTokens));
  }
  std::vector<VocabularyEntry> entries;
  entries.reserve(members.size());
  const std::uint32_t max_id = largest_allowed_id(members.size());
  for (auto [text, value] : members) {
    std::uint64_t id = 0;
    if (value.get(id) != simdjson::SUCCESS || id > max_id) {
      return field.error(
          ErrorCode::kMalformed,
          fmt::format("{} has the id {}; expected a whole number from 0 to {} for {} tokens", quote_name(text),
                      std::string(simdjson::minify(value)).substr(0, 40), max_id, members.size()));
    }
    entries.push_back({text, static_cast<TokenId>(id)});
  }
  return entries;
}

Result<Vocabulary> read_vocabulary(const JsonField& field) {
  auto entries = read_entries(field);
  if (!entries) return std::move(entries).error();
  TokenId num_ids = 0;
  for (const VocabularyEntry& entry : *entries) num_ids = std::max(num_ids, entry.id + 1);
  Vocabulary vocabulary(entries->size(), num_ids);
  for (const VocabularyEntry& entry : *entries) {
    if (vocabulary.has(entry.id)) {
      return field.error(ErrorCode::kMalformed,
                         fmt::format("{} and {} have the same id {}", quote_name(vocabulary.text(entry.id)),
                                     quote_name(entry.text), entry.id));
    }
    vocabulary.store(entry.id, entry.text);
    if (vocabulary.index(entry.id) != kNoToken) {
      return field.error(ErrorCode::kMalformed, fmt::format("the token {} is there twice", quote_name(entry.text)));
    }
  }
  return vocabulary;
}

}  // namespace

Result<BpeModel> BpeModel::parse(const JsonField& field, Symbols symbols) {
  if (auto members = field.object(); !members) return std::move(members).error();
  auto type = field.string_at("type", "BPE");  // older files leave it out
  if (!type) return std::move(type).error();
  if (*type != "BPE") return field.unsupported(fmt::format("the model {}", quote_name(*type)), "BPE");
  auto vocabulary_field = field.at("vocab");
  if (!vocabulary_field) return std::move(vocabulary_field).error();
  auto merges_field = field.at("merges");
  if (!merges_field) return std::move(merges_field).error();
  auto merges = merges_field->array();
  if (!merges) return std::move(merges).error();
  if (merges->size() > kMaxMerges) {
    return merges_field->error(ErrorCode::kUnsupported, fmt::format("has more than {} merges", kMaxMerges));
  }
  auto vocabulary = read_vocabulary(*vocabulary_field);
  if (!vocabulary) return std::move(vocabulary).error();

  BpeModel model(std::move(vocabulary).value(), merges->size());
  model.symbols_ = symbols;
  for (TokenId id = 0; id < model.vocabulary_.num_ids(); ++id) model.num_tokens_ += model.vocabulary_.has(id);
  NVFP4_RETURN_IF_ERROR(model.read_options(field));
  NVFP4_RETURN_IF_ERROR(model.read_merges(*merges_field));
  NVFP4_RETURN_IF_ERROR(model.set_byte_tokens(field));
  return model;
}

Status BpeModel::read_options(const JsonField& field) {
  if (const auto dropout = field.find("dropout")) {
    double value = 1;
    if (dropout->element.get(value) != simdjson::SUCCESS || value != 0) {
      return dropout->unsupported("dropout, which makes tokens random,", "null");
    }
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    auto affix = field.string_at(key, "");
    if (!affix) return std::move(affix).error();
    if (!affix->empty()) return field.unsupported(fmt::format("the {} {}", key, quote_name(*affix)), "null or \"\"");
  }
  for (const auto& [key, target] :
       {std::pair{"ignore_merges", &ignore_merges_}, std::pair{"byte_fallback", &byte_fallback_},
        std::pair{"fuse_unk", &fuse_unknown_}}) {
    auto value = field.bool_at(key, false);
    if (!value) return std::move(value).error();
    *target = *value;
  }
  if (const auto unknown = field.find("unk_token")) {
    auto text = unknown->string();
    if (!text) return std::move(text).error();
    unknown_ = vocabulary_.find(*text);
    if (unknown_ == kNoToken) {
      return unknown->error(ErrorCode::kMalformed, fmt::format("{} is not in model.vocab", quote_name(*text)));
    }
  }
  return {};
}

Status BpeModel::read_merges(const JsonField& merges) {
  auto list = merges.array();
  if (!list) return std::move(list).error();
  std::uint32_t rank = 0;
  std::string joined;
  for (const simdjson::dom::element item : *list) {
    NVFP4_RETURN_IF_ERROR(read_merge(JsonField{item, merges.where}, rank, joined));
    ++rank;
  }
  return {};
}

// One merge, spelled "a b" or ["a", "b"]. Its field's `where` is that of the list.
Status BpeModel::read_merge(const JsonField& merge, std::uint32_t rank, std::string& joined) {
  const auto fail = [&](std::string why) {
    return Error{ErrorCode::kMalformed, fmt::format("{}[{}]", merge.where, rank), std::move(why)};
  };
  std::string_view left;
  std::string_view right;
  simdjson::dom::array pair;
  if (std::string_view text; merge.element.get(text) == simdjson::SUCCESS) {
    if (text.starts_with("#version")) return {};
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return fail(fmt::format("{} is not two tokens with one space between", quote_name(text)));
    }
    left = text.substr(0, space);
    right = text.substr(space + 1);
  } else if (merge.element.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
             pair.at(0).get(left) != simdjson::SUCCESS || pair.at(1).get(right) != simdjson::SUCCESS) {
    return fail("expected two tokens, as \"a b\" or [\"a\", \"b\"]");
  }
  joined.assign(left);
  joined += right;
  TokenId ids[3];
  const std::string_view texts[3] = {left, right, joined};
  for (int i = 0; i < 3; ++i) {
    ids[i] = vocabulary_.find(texts[i]);
    if (ids[i] == kNoToken) return fail(fmt::format("{} is not in model.vocab", quote_name(texts[i])));
  }
  merges_.set(ids[0], ids[1], make_merge(rank, ids[2]));
  return {};
}

Status BpeModel::set_byte_tokens(const JsonField& field) {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<unsigned char>(byte);
    if (symbols_ == Symbols::kBytes) {
      byte_tokens_[byte] = vocabulary_.find(spelling_of_byte(c));
      if (byte_tokens_[byte] == kNoToken && byte_fallback_) {
        return field.unsupported("byte_fallback together with ByteLevel and a missing byte", "one of the two");
      }
    } else {
      const char text = static_cast<char>(c);
      byte_tokens_[byte] = byte < 0x80 ? vocabulary_.find(std::string_view(&text, 1)) : kNoToken;
    }
    fallback_tokens_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
  }
  if (!ignore_merges_ || symbols_ != Symbols::kBytes) return {};
  raw_.emplace(num_tokens_, vocabulary_.num_ids());
  for (TokenId id = 0; id < vocabulary_.num_ids(); ++id) {
    if (!vocabulary_.has(id)) continue;
    if (const auto bytes = bytes_of_spelling(vocabulary_.text(id))) {
      raw_->store(id, *bytes);
      raw_->index(id);
    }
  }
  return {};
}

}  // namespace nvfp4::text
