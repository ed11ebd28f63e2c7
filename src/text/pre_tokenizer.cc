#include "text/pre_tokenizer.h"

#include <algorithm>
#include <utility>

namespace nvfp4::text {
namespace {

struct Part {
  std::size_t begin;
  std::size_t end;
  bool matched;
};

// Joins parts as the behaviour says; what is left are the pieces.
std::vector<Part> arrange(std::vector<Part> parts, SplitBehavior behavior) {
  std::vector<Part> out;
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return parts;
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.matched) out.push_back(part);
      }
      return out;
    case SplitBehavior::kContiguous:
      for (const Part& part : parts) {
        if (!out.empty() && out.back().matched == part.matched) {
          out.back().end = part.end;
        } else {
          out.push_back(part);
        }
      }
      return out;
    case SplitBehavior::kMergedWithPrevious: {
      bool matched_before = false;
      for (const Part& part : parts) {
        if (part.matched && !matched_before && !out.empty()) {
          out.back().end = part.end;
        } else {
          out.push_back(part);
        }
        matched_before = part.matched;
      }
      return out;
    }
    case SplitBehavior::kMergedWithNext:
      break;
  }
  bool matched_after = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->matched && !matched_after && !out.empty()) {
      out.back().begin = part->begin;
    } else {
      out.push_back(*part);
    }
    matched_after = part->matched;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

void match_literal(std::string_view text, std::string_view literal, const MatchSink& sink) {
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(literal, at)) != std::string_view::npos; at = found + literal.size()) {
    if (found > at) sink(at, found, false);
    sink(found, found + literal.size(), true);
  }
  if (at < text.size()) sink(at, text.size(), false);
}

void match_digits(std::string_view text, const ClassTable& classes, const MatchSink& sink) {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_at(text.data() + at);
    const std::size_t end = at + c.num_bytes;
    if ((classes[c.value] & kNumber) != 0) {
      if (at > done) sink(done, at, false);
      sink(at, end, true);
      done = end;
    }
    at = end;
  }
  if (done < text.size()) sink(done, text.size(), false);
}

constexpr std::string_view kMetaSpace = "\xe2\x96\x81";  // U+2581

}  // namespace

Status PreTokenizer::run(std::size_t step_idx, std::string_view text, bool at_start, const PieceSink& piece) const {
  if (text.empty()) return {};
  if (step_idx == steps_.size()) {
    piece(text);
    return {};
  }
  const Step& step = steps_[step_idx];
  std::string changed;
  if (step.kind == Step::kPrefixSpace) {
    if (text[0] == ' ') return run(step_idx + 1, text, at_start, piece);
    changed = " ";
    changed += text;
    return run(step_idx + 1, changed, at_start, piece);
  }
  if (step.kind == Step::kMetaspace) {
    const bool prepend = step.prepend && (at_start || !step.only_at_start);
    for (const char c : text) {
      if (c == ' ') {
        changed += kMetaSpace;
      } else {
        changed += c;
      }
    }
    if (prepend && !changed.starts_with(kMetaSpace)) changed.insert(0, kMetaSpace);
    text = changed;
    if (step.literal.empty()) return run(step_idx + 1, text, at_start, piece);
  }
  return run_split(step, step_idx, text, at_start, piece);
}

Status PreTokenizer::run_matches(const Step& step, std::string_view text, const MatchSink& sink) const {
  if (step.known) {
    with_splitter(*step.known, classes_, [&](const auto& splitter) {
      splitter.split(text, [&](std::string_view match) {
        const auto begin = static_cast<std::size_t>(match.data() - text.data());
        sink(begin, begin + match.size(), true);
      });
    });
    return {};
  }
  if (step.regex) return step.regex->split(text, sink);
  if (step.kind == Step::kDigits) {
    match_digits(text, classes_, sink);
  } else {
    match_literal(text, step.literal, sink);
  }
  return {};
}

Status PreTokenizer::run_split(const Step& step, std::size_t step_idx, std::string_view text, bool at_start,
                               const PieceSink& piece) const {
  std::vector<Part> parts;
  NVFP4_RETURN_IF_ERROR(run_matches(step, text, [&](std::size_t begin, std::size_t end, bool matched) {
    parts.push_back({begin, end, matched != step.invert});
  }));
  for (const Part& part : arrange(std::move(parts), step.behavior)) {
    NVFP4_RETURN_IF_ERROR(
        run(step_idx + 1, text.substr(part.begin, part.end - part.begin), at_start && part.begin == 0, piece));
  }
  return {};
}

}  // namespace nvfp4::text
