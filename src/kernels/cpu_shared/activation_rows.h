// The input of a linear layer as its activation format has it: values whose product with the row's multiplier is A(x).
#pragma once

#include <cstdint>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_shared {

// Does this activation change the input at all?
[[nodiscard]] bool rounds_input(const LinearWeight& weight, Activation activation);

// Rounds one row for one expert: out [in_features] holds code values times block scales (exact in float32). Answers the
// multiplier. May work in place.
float round_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                float* out);

}  // namespace nvfp4::kernels::cpu_shared
