// Which kernels serve a layer, by what they were measured to take. The choice alone, without kernels: a function of
// numbers.
//
// A measurement of T tokens speaks for all numbers of tokens above the next smaller one that was measured, and the
// largest for all above it. The fastest kernel serves; of those within 5 % of it, the first of the list. All kernels of
// a layer are of one group: the one whose times, over all numbers that were measured, have the smallest product; of
// equal ones that of the first kernel in the list.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/measured_table.h"

namespace nvfp4::plan {

// A kernel that may serve, in the order of the list.
struct Candidate {
  std::string_view kernel;
  std::string group;  // kernels that may take turns: they read the same layout, and turns change no number that matters
  std::function<bool(std::uint32_t num_tokens)> accepts;  // for up to so many
};

struct MeasuredRange {
  std::uint32_t first_tokens = 1;
  std::uint32_t last_tokens = 1;
  std::size_t candidate_idx = 0;
  std::string reason;  // "measured 12.3 us for 8 tokens, linear_x 15.1"
};

// Neighbouring ranges have different kernels. Empty when measurements of no group cover all numbers of tokens.
[[nodiscard]] std::vector<MeasuredRange> choose_measured(std::span<const Candidate> candidates,
                                                         const MeasuredProblem& problem, std::uint32_t max_tokens);

// Why a kernel that serves, too, is not the one that was chosen for so many tokens.
[[nodiscard]] std::string measured_rejection(const MeasuredProblem& problem, std::string_view kernel,
                                             std::string_view chosen, std::uint32_t num_tokens);

// In microseconds, by the row that speaks for so many tokens; 0: not measured.
[[nodiscard]] double measured_us(const MeasuredProblem& problem, std::string_view kernel, std::uint32_t num_tokens);

}  // namespace nvfp4::plan
