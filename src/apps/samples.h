// Measured values of one kind. Percentiles interpolate linearly, as numpy does.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace nvfp4::apps {

class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] double last() const { return values_.back(); }
  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double value : values_) sum += value;
    return values_.empty() ? 0 : sum / static_cast<double>(values_.size());
  }
  [[nodiscard]] double deviation() const {
    double sum = 0;
    const double centre = mean();
    for (const double value : values_) sum += (value - centre) * (value - centre);
    return values_.empty() ? 0 : std::sqrt(sum / static_cast<double>(values_.size()));
  }
  [[nodiscard]] double median() const { return percentile(50); }
  [[nodiscard]] double percentile(double p) const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const double rank = p / 100 * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (rank - static_cast<double>(below));
  }

 private:
  std::vector<double> values_;
};

}  // namespace nvfp4::apps
