// How answers to problems are scored: the number that counts, and the share that is right.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nvfp4::apps {

// A share of a count with its 95 % interval by Wilson's score.
struct Share {
  std::uint64_t num_hits = 0;
  std::uint64_t num_all = 0;

  struct Interval {
    double low = 0;
    double high = 0;
  };

  [[nodiscard]] double value() const {
    return num_all == 0 ? 0 : static_cast<double>(num_hits) / static_cast<double>(num_all);
  }
  [[nodiscard]] Interval interval95() const {
    constexpr double kZ = 1.959964;  // two-sided 95 % of the normal distribution
    const auto n = static_cast<double>(num_all);
    if (num_all == 0) return {0, 1};
    const double p = value();
    const double centre = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
    const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) / (1 + kZ * kZ / n);
    return {num_hits == 0 ? 0 : std::max(0.0, centre - half), num_hits == num_all ? 1 : std::min(1.0, centre + half)};
  }
};

// The number behind the last "####" of a worked answer, as text in one spelling per number: without currency sign,
// thousands separators, leading zeros and trailing zeros of a fraction. Nothing when there is none.
[[nodiscard]] inline std::optional<std::string> final_number(std::string_view answer) {
  constexpr std::string_view kMark = "####";
  const std::size_t mark = answer.rfind(kMark);
  if (mark == std::string_view::npos) return std::nullopt;
  bool negative = false;
  bool has_digit = false;
  bool has_point = false;
  std::string digits;  // and the point
  for (const char c : answer.substr(mark + kMark.size())) {
    if (c >= '0' && c <= '9') {
      has_digit = true;
      digits += c;
    } else if (c == '.' && !has_point) {
      has_point = true;
      digits += c;
    } else if (c == '-' && !negative && digits.empty()) {
      negative = true;
    } else if (digits.empty() ? c != ' ' && c != '$' : c != ',' || has_point) {
      break;
    }
  }
  if (!has_digit) return std::nullopt;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (has_point) digits.resize(digits.find_last_not_of('0') + 1);
  if (digits.ends_with('.')) digits.pop_back();
  if (digits.empty() || digits.front() == '.') digits.insert(0, "0");
  return negative && digits != "0" ? "-" + digits : digits;
}

}  // namespace nvfp4::apps
