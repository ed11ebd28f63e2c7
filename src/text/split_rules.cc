#include "text/split_rules.h"

#include <array>

namespace nvfp4::text {
namespace {

struct Spelling {
  std::string_view regex;
  KnownPattern pattern;
};

#define NVFP4_ANY_CASE R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define NVFP4_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define NVFP4_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define NVFP4_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define NVFP4_LEAD R"([^\r\n\p{L}\p{N}]?)"

constexpr std::array kSpellings = {
    Spelling{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", KnownPattern::kGpt2},
    Spelling{R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", KnownPattern::kGpt2},
    Spelling{NVFP4_ANY_CASE R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" NVFP4_SPACES,
             KnownPattern::kQwen2},
    Spelling{NVFP4_ANY_CASE R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" NVFP4_SPACES,
             KnownPattern::kQwen35},
    Spelling{NVFP4_ANY_CASE R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" NVFP4_SPACES,
             KnownPattern::kLlama3},
    Spelling{NVFP4_ANY_CASE
             R"(|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
             KnownPattern::kLlama3},
    Spelling{
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
        KnownPattern::kLlama3},
    Spelling{
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
        KnownPattern::kCl100k},
    Spelling{NVFP4_LEAD NVFP4_UPPER "*" NVFP4_LOWER "+" NVFP4_ANY_CASE "?|" NVFP4_LEAD NVFP4_UPPER "+" NVFP4_LOWER
                                    "*" NVFP4_ANY_CASE R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NVFP4_SPACES,
             KnownPattern::kO200k},
    Spelling{NVFP4_LEAD NVFP4_UPPER "*" NVFP4_LOWER "+|" NVFP4_LEAD NVFP4_UPPER "+" NVFP4_LOWER
                                    R"(*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NVFP4_SPACES,
             KnownPattern::kTekken},
};

#undef NVFP4_ANY_CASE
#undef NVFP4_SPACES
#undef NVFP4_UPPER
#undef NVFP4_LOWER
#undef NVFP4_LEAD

}  // namespace

std::optional<KnownPattern> find_known_pattern(std::string_view regex) {
  for (const Spelling& spelling : kSpellings) {
    if (spelling.regex == regex) return spelling.pattern;
  }
  return std::nullopt;
}

}  // namespace nvfp4::text
