// How a text is cut into the pieces that the model encodes one by one: the "pre_tokenizer" of a tokenizer.json.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"
#include "text/regex_splitter.h"
#include "text/split_rules.h"

namespace nvfp4::text {

using PieceSink = std::function<void(std::string_view)>;

// What becomes of the parts of a text that a pattern matches.
enum class SplitBehavior : std::uint8_t { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  // `field` may be null. ByteLevel, Split, Digits, Metaspace, and Sequences of them.
  [[nodiscard]] static Result<PreTokenizer> parse(const JsonField* field);

  // Whether the model's vocabulary spells bytes.
  [[nodiscard]] bool is_byte_level() const { return byte_level_; }

  // Calls piece(std::string_view) for every piece of `text`, none of them empty. `at_start`: the text is the beginning
  // of what is encoded. Views of pieces end with the call.
  template <class Piece>
  [[nodiscard]] Status split(std::string_view text, bool at_start, Piece&& piece) const {
    if (!plain_) return run(0, text, at_start, PieceSink(std::ref(piece)));
    std::string prefixed;
    if (plain_prefix_ && !text.empty() && text[0] != ' ') {
      prefixed = " ";
      prefixed += text;
      text = prefixed;
    }
    with_splitter(*plain_, classes_, [&](const auto& splitter) { splitter.split(text, piece); });
    return {};
  }

 private:
  struct Step {
    enum Kind : std::uint8_t { kPattern, kPrefixSpace, kDigits, kMetaspace } kind;
    // kPattern: one of the three.
    std::optional<KnownPattern> known = std::nullopt;
    std::optional<RegexSplitter> regex = std::nullopt;
    std::string literal = {};
    // kPattern, kDigits, kMetaspace
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;
    // kMetaspace: what a space becomes, and whether one is put in front: always, only at the start.
    bool prepend = false;
    bool only_at_start = false;
  };

  PreTokenizer() : classes_(class_table()) {}
  Status add(const JsonField& field);
  Status add_split(const JsonField& field);
  Status add_byte_level(const JsonField& field);
  Status add_metaspace(const JsonField& field);
  void find_plain_form();

  Status run(std::size_t step_idx, std::string_view text, bool at_start, const PieceSink& piece) const;
  Status run_matches(const Step& step, std::string_view text, const MatchSink& sink) const;
  Status run_split(const Step& step, std::size_t step_idx, std::string_view text, bool at_start,
                   const PieceSink& piece) const;

  const ClassTable& classes_;
  bool byte_level_ = false;
  std::vector<Step> steps_;
  // Set when the steps are one known pattern, perhaps with a space put in front: most files.
  std::optional<KnownPattern> plain_;
  bool plain_prefix_ = false;
};

}  // namespace nvfp4::text
