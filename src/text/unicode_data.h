// The generated Unicode tables; code_points.h and nfc.h are what the rest of the room uses.
#pragma once

#include <cstdint>
#include <span>

namespace nvfp4::text {

// `value` holds from `first` up to the next run's `first`.
struct ClassRun {
  std::uint32_t first;
  std::uint8_t value;
};

// One canonical step: composed -> first second; second is 0 when there is only one.
struct Decomposition {
  std::uint32_t composed;
  std::uint32_t first;
  std::uint32_t second;
};

[[nodiscard]] std::span<const ClassRun> class_runs();            // bits of code_points.h
[[nodiscard]] std::span<const ClassRun> combining_class_runs();  // canonical combining class
// By ascending `composed`. Those that NFC composes again, and those that it never does.
[[nodiscard]] std::span<const Decomposition> two_way_decompositions();
[[nodiscard]] std::span<const Decomposition> one_way_decompositions();

}  // namespace nvfp4::text
