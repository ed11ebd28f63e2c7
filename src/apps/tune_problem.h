// What is measured of one layer: each kernel that may serve it, for 1, 2, 4 ... tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "plan/measured_choice.h"

namespace nvfp4::apps {

// Microseconds of a layer with this kernel; 0: it cannot be measured, and somebody was told why.
using MeasureKernel = std::function<double(std::string_view kernel, std::uint32_t num_tokens)>;

// A kernel that took more than 30 times as long as the fastest for some number of tokens is not measured for more, nor
// is one that could not be measured. Numbers of tokens for which nothing was measured are left out.
[[nodiscard]] plan::MeasuredProblem measure_problem(const std::string& name,
                                                    std::span<const plan::Candidate> candidates,
                                                    std::uint32_t max_tokens, const MeasureKernel& measure);

}  // namespace nvfp4::apps
