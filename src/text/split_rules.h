// The split patterns of the known tokenizer families, by hand. All are one regular expression of this shape, whose
// parts SplitRules names:
//   contractions | letters with one character before | numbers | others with a space before, newlines after
//   | spaces up to a newline | spaces but the last | spaces
// Spaces are White_Space; each piece begins where the one before it ends, and nothing is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "text/code_points.h"

namespace nvfp4::text {

enum class Contractions : std::uint8_t { kNone, kExactCase, kAnyCase };
enum class Letters : std::uint8_t {
  kAfterSpace,  // " ?\p{L}+", and numbers the same way
  kAfterAny,    // "[^\r\n\p{L}\p{N}]?\p{L}+"
  kByCase,      // the two cased alternatives of o200k
};

struct SplitRules {
  Contractions contractions = Contractions::kNone;  // a piece of their own; with kByCase the end of a word
  Letters letters = Letters::kAfterAny;
  bool marks_are_letters = false;
  int max_digits = 1;              // 0: any number
  bool newlines_follow = true;     // others take "[\r\n]*" along
  bool slashes_follow = false;     // "[\r\n/]*"
  bool lines_end_spaces = true;    // "\s*[\r\n]+"
  bool last_spaces_whole = false;  // "\s++$" before it
};

inline constexpr SplitRules kGpt2Rules{.contractions = Contractions::kExactCase,
                                       .letters = Letters::kAfterSpace,
                                       .max_digits = 0,
                                       .newlines_follow = false,
                                       .lines_end_spaces = false};
inline constexpr SplitRules kQwen2Rules{.contractions = Contractions::kAnyCase};
inline constexpr SplitRules kQwen35Rules{.contractions = Contractions::kAnyCase, .marks_are_letters = true};
inline constexpr SplitRules kLlama3Rules{.contractions = Contractions::kAnyCase, .max_digits = 3};
// Written with \p{N}{1,3}+, which Oniguruma reads as any number of digits.
inline constexpr SplitRules kCl100kRules{
    .contractions = Contractions::kAnyCase, .max_digits = 0, .last_spaces_whole = true};
inline constexpr SplitRules kO200kRules{
    .contractions = Contractions::kAnyCase, .letters = Letters::kByCase, .max_digits = 3, .slashes_follow = true};
inline constexpr SplitRules kTekkenRules{.letters = Letters::kByCase, .slashes_follow = true};

enum class KnownPattern : std::uint8_t { kGpt2, kQwen2, kQwen35, kLlama3, kCl100k, kO200k, kTekken };

// The rules that the regular expression spells, if it is one of those known by heart.
[[nodiscard]] std::optional<KnownPattern> find_known_pattern(std::string_view regex);

// Cuts a text by `Rules`. Shared by several threads.
template <SplitRules Rules>
class RuleSplitter {
 public:
  explicit RuleSplitter(const ClassTable& classes) : classes_(classes.data()) {}

  // Calls piece(std::string_view) for each piece, in order.
  template <class Piece>
  void split(std::string_view text, Piece&& piece) const {
    const char* const end = text.data() + text.size();
    for (const char* at = text.data(); at < end;) {
      const char* next = piece_end(at, end);
      piece(std::string_view(at, static_cast<std::size_t>(next - at)));
      at = next;
    }
  }

 private:
  struct Char {
    std::uint32_t value;
    std::uint32_t num_bytes;
    std::uint8_t bits;
  };

  static constexpr std::uint8_t kWordBits = Rules.marks_are_letters ? kLetter | kMark : kLetter;
  static constexpr std::uint8_t kNotOther = kSpace | kNumber | kWordBits;

  [[nodiscard]] Char read(const char* at) const {
    const CodePoint c = decode_at(at);
    return {c.value, c.num_bytes, classes_[c.value]};
  }
  // The end of the characters with (wanted) or without any of `bits`.
  template <bool wanted>
  [[nodiscard]] const char* skip(const char* at, const char* end, std::uint8_t bits) const {
    while (at < end) {
      const Char c = read(at);
      if (((c.bits & bits) != 0) != wanted) break;
      at += c.num_bytes;
    }
    return at;
  }
  static bool is_newline(std::uint32_t c) { return c == '\n' || c == '\r'; }

  [[nodiscard]] const char* piece_end(const char* at, const char* end) const {
    const Char c = read(at);
    if constexpr (Rules.contractions != Contractions::kNone && Rules.letters != Letters::kByCase) {
      if (c.value == '\'') {
        if (const char* stop = contraction_end(at, end); stop != at) return stop;
      }
    }
    if (const char* stop = word_end(at, end, c); stop != at) return stop;
    if (const char* stop = number_end(at, end, c); stop != at) return stop;
    if (const char* stop = others_end(at, end, c); stop != at) return stop;
    return spaces_end(at, end);
  }

  // 's 't 're 've 'm 'll 'd; without case U+017F counts as s. `at` when there is none.
  [[nodiscard]] static const char* contraction_end(const char* at, const char* end) {
    const std::ptrdiff_t left = end - at;
    if (left < 2 || at[0] != '\'') return at;
    const auto lower = [](char c) {
      return Rules.contractions == Contractions::kAnyCase && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = lower(at[1]);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if (left < 3) return at;
    const char second = lower(at[2]);
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) {
      return at + 3;
    }
    if (Rules.contractions == Contractions::kAnyCase && at[1] == '\xc5' && at[2] == '\xbf') return at + 3;
    return at;
  }

  [[nodiscard]] const char* word_end(const char* at, const char* end, const Char& c) const {
    if constexpr (Rules.letters == Letters::kByCase) return cased_word_end(at, end, c);
    if ((c.bits & kWordBits) != 0) return skip<true>(at + c.num_bytes, end, kWordBits);
    const bool may_lead =
        Rules.letters == Letters::kAfterSpace ? c.value == ' ' : (c.bits & kNumber) == 0 && !is_newline(c.value);
    const char* rest = at + c.num_bytes;
    if (!may_lead || rest == end) return at;
    const Char next = read(rest);
    if ((next.bits & kWordBits) == 0) return at;
    return skip<true>(rest + next.num_bytes, end, kWordBits);
  }

  // [Lu Lt Lm Lo M]*[Ll Lm Lo M]+, or if that fails [Lu Lt]+; each after an optional character, which the regular
  // expression gives back only when nothing matches with it.
  [[nodiscard]] const char* cased_word_end(const char* at, const char* end, const Char& c) const {
    const bool may_lead = (c.bits & (kLetter | kNumber)) == 0 && !is_newline(c.value);
    const char* const rest = at + c.num_bytes;
    const char* stop = at;
    if (may_lead && (stop = lower_word_end(rest, end)) != rest) return with_contraction(stop, end);
    if ((stop = lower_word_end(at, end)) != at) return with_contraction(stop, end);
    const char* const start = may_lead ? rest : at;
    stop = skip_upper(start, end);
    return stop == start ? at : with_contraction(stop, end);
  }
  [[nodiscard]] const char* skip_upper(const char* at, const char* end) const {
    while (at < end) {
      const Char c = read(at);
      if ((c.bits & (kLetter | kMark)) == 0 || (c.bits & kLower) != 0) break;
      at += c.num_bytes;
    }
    return at;
  }
  // `at` when the first alternative does not match there.
  [[nodiscard]] const char* lower_word_end(const char* at, const char* end) const {
    const char* after_uncased = at;  // behind the last character of the upper run that also counts as lower
    const char* upper = at;
    while (upper < end) {
      const Char c = read(upper);
      if ((c.bits & (kLetter | kMark)) == 0) return after_uncased;
      if ((c.bits & kLower) != 0) break;
      upper += c.num_bytes;
      if ((c.bits & kUpper) == 0) after_uncased = upper;
    }
    if (upper == end) return after_uncased;
    while (upper < end) {
      const Char c = read(upper);
      if ((c.bits & (kLetter | kMark)) == 0 || (c.bits & kUpper) != 0) break;
      upper += c.num_bytes;
    }
    return upper;
  }
  [[nodiscard]] static const char* with_contraction(const char* at, const char* end) {
    if constexpr (Rules.contractions == Contractions::kNone) return at;
    return contraction_end(at, end);
  }

  [[nodiscard]] const char* number_end(const char* at, const char* end, const Char& c) const {
    if constexpr (Rules.letters == Letters::kAfterSpace) {
      const char* digits = c.value == ' ' ? at + 1 : at;
      const char* stop = skip<true>(digits, end, kNumber);
      return stop == digits ? at : stop;
    }
    if ((c.bits & kNumber) == 0) return at;
    const char* stop = at + c.num_bytes;
    for (int i = 1; (i < Rules.max_digits || Rules.max_digits == 0) && stop < end; ++i) {
      const Char digit = read(stop);
      if ((digit.bits & kNumber) == 0) break;
      stop += digit.num_bytes;
    }
    return stop;
  }

  [[nodiscard]] const char* others_end(const char* at, const char* end, const Char& c) const {
    const char* start = c.value == ' ' ? at + 1 : at;
    const char* stop = skip<false>(start, end, kNotOther);
    if (stop == start) return at;
    if constexpr (Rules.newlines_follow) {
      while (stop < end && (is_newline(static_cast<unsigned char>(*stop)) || (Rules.slashes_follow && *stop == '/'))) {
        ++stop;
      }
    }
    return stop;
  }

  [[nodiscard]] const char* spaces_end(const char* at, const char* end) const {
    const char* stop = skip<true>(at, end, kSpace);
    if (Rules.last_spaces_whole && stop == end) return stop;
    if constexpr (Rules.lines_end_spaces) {
      for (const char* newline = stop; newline > at; --newline) {
        if (is_newline(static_cast<unsigned char>(newline[-1]))) return newline;
      }
    }
    if (stop == end) return stop;
    const char* last = stop - decode_before(stop).num_bytes;
    return last > at ? last : stop;
  }

  const std::uint8_t* classes_;
};

// Calls fn(splitter) with the splitter of a known pattern.
template <class Fn>
decltype(auto) with_splitter(KnownPattern pattern, const ClassTable& classes, Fn&& fn) {
  switch (pattern) {
    case KnownPattern::kGpt2:
      return fn(RuleSplitter<kGpt2Rules>(classes));
    case KnownPattern::kQwen2:
      return fn(RuleSplitter<kQwen2Rules>(classes));
    case KnownPattern::kQwen35:
      return fn(RuleSplitter<kQwen35Rules>(classes));
    case KnownPattern::kLlama3:
      return fn(RuleSplitter<kLlama3Rules>(classes));
    case KnownPattern::kCl100k:
      return fn(RuleSplitter<kCl100kRules>(classes));
    case KnownPattern::kO200k:
      return fn(RuleSplitter<kO200kRules>(classes));
    case KnownPattern::kTekken:
      break;
  }
  return fn(RuleSplitter<kTekkenRules>(classes));
}

}  // namespace nvfp4::text
