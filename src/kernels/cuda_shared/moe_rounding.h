// What is rounded in a mixture-of-experts layer, and whether it can be.
#pragma once

#include <string>

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels {

[[nodiscard]] bool is_rounded(const MoeProblem& problem);
// Rows of FC1 differ between the experts of a token.
[[nodiscard]] bool rounds_pairs(const MoeProblem& problem);
// Why activations cannot be rounded, in words; empty when they can, or need not be.
[[nodiscard]] std::string rounding_refusal(const MoeProblem& problem);

}  // namespace nvfp4::kernels
