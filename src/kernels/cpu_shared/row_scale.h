// What the sum of an output row's products is multiplied by: scale2 of its shard, the row's own scale, or 1.
#pragma once

#include <cstdint>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_shared {

[[nodiscard]] float scale_of_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row);

// Of rows [first_row, first_row + num_rows).
void scales_of_rows(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t first_row,
                    std::uint64_t num_rows, float* out);

}  // namespace nvfp4::kernels::cpu_shared
