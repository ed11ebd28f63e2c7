#include "text/stop_strings.h"

#include <algorithm>
#include <utility>

namespace nvfp4 {

StopStrings::StopStrings(std::vector<std::string> strings) {
  for (std::string& string : strings) {
    if (string.empty()) continue;
    Pattern pattern;
    pattern.text = std::move(string);
    pattern.fallback.assign(pattern.text.size() + 1, 0);
    std::size_t length = 0;
    for (std::size_t i = 1; i < pattern.text.size(); ++i) {
      while (length > 0 && pattern.text[i] != pattern.text[length]) length = pattern.fallback[length];
      if (pattern.text[i] == pattern.text[length]) ++length;
      pattern.fallback[i + 1] = length;
    }
    patterns_.push_back(std::move(pattern));
  }
}

StopStrings::Output StopStrings::push(std::string_view text) {
  Output out;
  if (stopped_) return {.emit = "", .stopped = true};
  for (const char c : text) {
    held_ += c;
    std::size_t longest_stop = 0;
    for (Pattern& pattern : patterns_) {
      std::size_t& matched = pattern.num_matched;
      while (matched > 0 && pattern.text[matched] != c) matched = pattern.fallback[matched];
      if (pattern.text[matched] == c) ++matched;
      if (matched == pattern.text.size()) longest_stop = std::max(longest_stop, matched);
    }
    if (longest_stop > 0) {
      out.emit.assign(held_, 0, held_.size() - longest_stop);
      out.stopped = true;
      stopped_ = true;
      held_.clear();
      return out;
    }
  }
  std::size_t num_held = 0;
  for (const Pattern& pattern : patterns_) num_held = std::max(num_held, pattern.num_matched);
  out.emit.assign(held_, 0, held_.size() - num_held);
  held_.erase(0, held_.size() - num_held);
  return out;
}

std::string StopStrings::finish() {
  std::string rest = std::move(held_);
  held_.clear();
  stopped_ = false;
  for (Pattern& pattern : patterns_) pattern.num_matched = 0;
  return rest;
}

}  // namespace nvfp4
