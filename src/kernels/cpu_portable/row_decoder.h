// One row of a weight as float32, block scales applied, scale2 not.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_portable {

// out [in_features]; exact: E2M1 * E4M3 has at most 6 significant bits.
void decode_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row, float* out);

}  // namespace nvfp4::kernels::cpu_portable
