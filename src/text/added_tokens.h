// The tokens that are found in a text before anything else happens to it: "added_tokens" of a tokenizer.json.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe_model.h"
#include "text/json_field.h"
#include "text/normalizer.h"
#include "text/token_id.h"

namespace nvfp4::text {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  std::string pattern;  // what is searched: the content, normalised when the token says so
  bool special = false;
  bool normalized = false;   // searched in the normalised text
  bool single_word = false;  // not next to a word character
  bool takes_left = false;   // lstrip: with the spaces before it
  bool takes_right = false;  // rstrip: with the spaces after it
};

// The list, in the file's order. An id that Hugging Face's library would not give the token is an Error.
[[nodiscard]] Result<std::vector<AddedToken>> read_added_tokens(const JsonField* field, const BpeModel& model,
                                                                const Normalizer& normalizer);

// Finds tokens in a text: at each place the longest, from left to right.
class TokenFinder {
 public:
  static constexpr std::size_t kMaxPatternBytes = 1024;

  // Those tokens whose `normalized` is the one wanted. Two with the same pattern are an Error.
  [[nodiscard]] static Result<TokenFinder> make(const std::vector<AddedToken>& tokens, bool normalized,
                                                std::string_view where);

  [[nodiscard]] bool empty() const { return patterns_.empty(); }

  // Calls gap(std::string_view) for text between tokens and token(TokenId) for tokens, in order.
  template <class Gap, class Token>
  void split(std::string_view text, Gap&& gap, Token&& token) const {
    std::size_t done = 0;
    for (std::size_t at = find_first(text, 0); at < text.size();) {
      const AddedToken* found = longest_at(text, at);
      if (found == nullptr) {
        at = find_first(text, at + 1);
        continue;
      }
      const std::size_t match_end = at + found->pattern.size();
      if (!found->single_word || stands_alone(text, at, match_end)) {
        const std::size_t begin = found->takes_left ? std::max(spaces_begin(text, at, done), done) : at;
        if (done < begin) gap(text.substr(done, begin - done));
        token(found->id);
        done = found->takes_right ? spaces_end(text, match_end) : match_end;
      }
      at = find_first(text, match_end);
    }
    if (done < text.size()) gap(text.substr(done));
  }

 private:
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };

  // The next place where a pattern could begin, or the size of the text.
  [[nodiscard]] std::size_t find_first(std::string_view text, std::size_t at) const;
  [[nodiscard]] const AddedToken* longest_at(std::string_view text, std::size_t at) const;
  [[nodiscard]] static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end);
  [[nodiscard]] static std::size_t spaces_begin(std::string_view text, std::size_t end, std::size_t floor);
  [[nodiscard]] static std::size_t spaces_end(std::string_view text, std::size_t begin);

  std::vector<AddedToken> patterns_;   // by pattern
  std::array<Range, 256> by_first_{};  // of patterns_ by their first byte
  int only_first_ = -1;                // the first byte of all patterns, if there is but one
};

}  // namespace nvfp4::text
