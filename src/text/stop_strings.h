// Ends a stream of text at the first of some strings.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nvfp4 {

// Of occurrences in the whole stream the one that ends first counts, of those that end together the longest. Text that
// could be the beginning of a stop string is held back. Matching costs constant time per byte.
class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> strings);

  struct Output {
    std::string emit;      // text that is certainly before any stop string
    bool stopped = false;  // a stop string is complete; it and what follows are not emitted
  };
  // After `stopped` everything is swallowed, and every answer says stopped.
  [[nodiscard]] Output push(std::string_view text);
  // The text still held back. Then the matcher is as new.
  [[nodiscard]] std::string finish();

 private:
  // A string, and for each prefix of it the longest shorter prefix that is also its end.
  struct Pattern {
    std::string text;
    std::vector<std::size_t> fallback;
    std::size_t num_matched = 0;
  };

  std::vector<Pattern> patterns_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace nvfp4
