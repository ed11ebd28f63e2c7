#include "text/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/file.h"
#include "text/code_points.h"

namespace nvfp4::text {
namespace {

Result<AddedToken> read_token(const JsonField& field) {
  if (auto members = field.object(); !members) return std::move(members).error();
  AddedToken token;
  auto id_field = field.at("id");
  if (!id_field) return std::move(id_field).error();
  auto id = id_field->whole_number(kNoToken - 1);
  if (!id) return std::move(id).error();
  token.id = *id;
  auto content_field = field.at("content");
  if (!content_field) return std::move(content_field).error();
  auto content = content_field->string();
  if (!content) return std::move(content).error();
  token.content = *content;
  auto special = field.bool_at("special", false);
  if (!special) return std::move(special).error();
  token.special = *special;
  for (const auto& [key, target, fallback] :
       {std::tuple{"normalized", &token.normalized, !token.special},
        std::tuple{"single_word", &token.single_word, false}, std::tuple{"lstrip", &token.takes_left, false},
        std::tuple{"rstrip", &token.takes_right, false}}) {
    auto value = field.bool_at(key, fallback);
    if (!value) return std::move(value).error();
    *target = *value;
  }
  return token;
}

}  // namespace

Result<std::vector<AddedToken>> read_added_tokens(const JsonField* field, const BpeModel& model,
                                                  const Normalizer& normalizer) {
  std::vector<AddedToken> out;
  if (field == nullptr) return out;
  auto list = field->array();
  if (!list) return std::move(list).error();
  std::unordered_set<std::string> seen;
  // A token that the model does not have gets the next number after the model's tokens and those added before.
  std::size_t next_id = model.num_tokens();
  std::size_t i = 0;
  for (const simdjson::dom::element item : *list) {
    const JsonField token_field = field->item(item, i++);
    auto token = read_token(token_field);
    if (!token) return std::move(token).error();
    if (token->content.empty()) continue;
    if (!seen.insert(token->content).second) {
      return token_field.error(ErrorCode::kMalformed,
                               fmt::format("{} is there twice; remove one", quote_name(token->content)));
    }
    const TokenId of_model = model.vocabulary().find(token->content);
    const std::size_t expected = of_model != kNoToken ? of_model : next_id++;
    if (token->id != expected) {
      return token_field.error(
          ErrorCode::kContradiction,
          fmt::format("{} has the id {}, but {} gives it {}; make them agree", quote_name(token->content), token->id,
                      of_model != kNoToken ? "model.vocab" : "the number of tokens before it", expected));
    }
    std::string storage;
    token->pattern = token->normalized ? normalizer.apply(token->content, storage) : std::string_view(token->content);
    out.push_back(std::move(token).value());
  }
  return out;
}

Result<TokenFinder> TokenFinder::make(const std::vector<AddedToken>& tokens, bool normalized, std::string_view where) {
  TokenFinder finder;
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized || token.pattern.empty()) continue;
    if (token.pattern.size() > kMaxPatternBytes) {
      return Error{ErrorCode::kUnsupported, std::string(where),
                   fmt::format("{} has {} bytes; at most {} are supported", quote_name(token.pattern),
                               token.pattern.size(), kMaxPatternBytes)};
    }
    finder.patterns_.push_back(token);
  }
  auto& patterns = finder.patterns_;
  std::sort(patterns.begin(), patterns.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.pattern < b.pattern; });
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (i > 0 && patterns[i].pattern == patterns[i - 1].pattern) {
      return Error{ErrorCode::kMalformed, std::string(where),
                   fmt::format("{} and {} are the same text once normalised", quote_name(patterns[i - 1].content),
                               quote_name(patterns[i].content))};
    }
    const auto first = static_cast<unsigned char>(patterns[i].pattern[0]);
    Range& range = finder.by_first_[first];
    if (range.end == 0) range.begin = static_cast<std::uint32_t>(i);
    range.end = static_cast<std::uint32_t>(i + 1);
  }
  if (!patterns.empty() && patterns.front().pattern[0] == patterns.back().pattern[0]) {
    finder.only_first_ = static_cast<unsigned char>(patterns.front().pattern[0]);
  }
  return finder;
}

std::size_t TokenFinder::find_first(std::string_view text, std::size_t at) const {
  if (patterns_.empty() || at >= text.size()) return text.size();
  if (only_first_ >= 0) {
    const void* found = std::memchr(text.data() + at, only_first_, text.size() - at);
    return found == nullptr ? text.size() : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
  }
  while (at < text.size() && by_first_[static_cast<unsigned char>(text[at])].end == 0) ++at;
  return at;
}

const AddedToken* TokenFinder::longest_at(std::string_view text, std::size_t at) const {
  const Range range = by_first_[static_cast<unsigned char>(text[at])];
  const AddedToken* low = patterns_.data() + range.begin;
  const AddedToken* high = patterns_.data() + range.end;
  const AddedToken* found = nullptr;
  // low to high: the patterns that begin with the first `depth` bytes. A pattern that ends here comes first.
  for (std::size_t depth = 1; low < high; ++depth) {
    if (low->pattern.size() == depth) found = low++;
    if (at + depth == text.size()) break;
    const auto next = static_cast<unsigned char>(text[at + depth]);
    const auto byte = [depth](const AddedToken& token) { return static_cast<unsigned char>(token.pattern[depth]); };
    low = std::partition_point(low, high, [&](const AddedToken& token) { return byte(token) < next; });
    high = std::partition_point(low, high, [&](const AddedToken& token) { return byte(token) == next; });
  }
  return found;
}

bool TokenFinder::stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const ClassTable& classes = class_table();
  if (begin > 0 && (classes[decode_before(text.data() + begin).value] & kWord) != 0) return false;
  return end == text.size() || (classes[decode_at(text.data() + end).value] & kWord) == 0;
}

std::size_t TokenFinder::spaces_begin(std::string_view text, std::size_t end, std::size_t floor) {
  const ClassTable& classes = class_table();
  while (end > floor) {
    const CodePoint c = decode_before(text.data() + end);
    if ((classes[c.value] & kSpace) == 0) break;
    end -= c.num_bytes;
  }
  return end;
}

std::size_t TokenFinder::spaces_end(std::string_view text, std::size_t begin) {
  const ClassTable& classes = class_table();
  while (begin < text.size()) {
    const CodePoint c = decode_at(text.data() + begin);
    if ((classes[c.value] & kSpace) == 0) break;
    begin += c.num_bytes;
  }
  return begin;
}

}  // namespace nvfp4::text
