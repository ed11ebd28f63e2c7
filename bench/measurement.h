// Timing, and lines that say what was measured against what.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace nvfp4::bench {

struct Measurement {
  std::string name;
  double value = 0;
  double baseline = 0;  // 0: there is none, and `ratio` is the value itself
  std::string unit;     // "ms", "MB"
  std::string against;  // what the baseline is
  double target = 0;    // ratio (or value, without a baseline) must be below; 0: no target

  [[nodiscard]] double ratio() const { return baseline > 0 ? value / baseline : value; }
  [[nodiscard]] bool met() const { return target == 0 || ratio() < target; }
};

[[nodiscard]] double median(std::vector<double> values);
[[nodiscard]] std::string to_text(const Measurement& measurement);
[[nodiscard]] std::string to_json(const std::vector<Measurement>& measurements);

template <class Function>
[[nodiscard]] double time_ms(Function&& function) {
  const auto began = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace nvfp4::bench
