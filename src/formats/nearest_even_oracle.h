// For tests: rounding to nearest, ties to even, by looking the neighbours up in a list of all magnitudes of a format.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "formats/float_bits.h"

namespace nvfp4 {

class NearestEvenOracle {
 public:
  // magnitudes[code] ascending from 0, all finite ones, then the one that would follow the largest.
  explicit NearestEvenOracle(std::vector<double> magnitudes) : magnitudes_(std::move(magnitudes)) {}

  // Code of the nearest magnitude; overflow_code() when that is the one past the largest.
  [[nodiscard]] std::uint32_t encode(double magnitude) const {
    const auto above = std::lower_bound(magnitudes_.begin(), magnitudes_.end(), magnitude);
    if (above == magnitudes_.end()) return overflow_code();
    const auto code = static_cast<std::uint32_t>(above - magnitudes_.begin());
    if (*above == magnitude) return code;
    const double to_lower = magnitude - magnitudes_[code - 1];
    const double to_upper = magnitudes_[code] - magnitude;
    if (to_lower == to_upper) return code % 2 == 0 ? code : code - 1;
    return to_lower < to_upper ? code - 1 : code;
  }
  [[nodiscard]] std::uint32_t overflow_code() const { return static_cast<std::uint32_t>(magnitudes_.size() - 1); }

  // Non-negative numbers to try: every magnitude, every midpoint, both FP32 neighbours of each, and a sweep of all
  // upper halves of FP32 with lower halves on and beside the ties; up to infinity.
  [[nodiscard]] std::vector<float> probes() const {
    std::vector<float> probes;
    const auto add_with_neighbours = [&](double value) {
      const auto number = static_cast<float>(value);
      probes.push_back(number);
      probes.push_back(std::nextafter(number, std::numeric_limits<float>::infinity()));
      if (number > 0.0F) probes.push_back(std::nextafter(number, 0.0F));
    };
    for (std::size_t code = 0; code + 1 < magnitudes_.size(); ++code) {
      add_with_neighbours(magnitudes_[code]);
      add_with_neighbours((magnitudes_[code] + magnitudes_[code + 1]) / 2);
    }
    for (std::uint32_t upper = 0; upper <= (kFloatInfinityBits >> 16U); ++upper) {
      for (const std::uint32_t lower : {0x0U, 0x1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
        const std::uint32_t bits = (upper << 16U) | lower;
        if (bits <= kFloatInfinityBits) probes.push_back(float_from_bits(bits));
      }
    }
    return probes;
  }

 private:
  std::vector<double> magnitudes_;
};

// Oracle of a binary format with subnormals: num_codes magnitudes, mantissa_bits wide, least normal 2^min_exponent.
inline NearestEvenOracle oracle_of(std::uint32_t num_codes, int mantissa_bits, int min_exponent) {
  std::vector<double> magnitudes;
  const std::uint32_t steps = 1U << mantissa_bits;
  for (std::uint32_t code = 0; code <= num_codes; ++code) {
    const int exponent = static_cast<int>(code / steps);
    const double significand = exponent == 0 ? code % steps : steps + code % steps;
    magnitudes.push_back(std::ldexp(significand, min_exponent - mantissa_bits + std::max(exponent - 1, 0)));
  }
  return NearestEvenOracle(std::move(magnitudes));
}

}  // namespace nvfp4
