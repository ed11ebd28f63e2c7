#include "kernels/cpu_shared/row_scale.h"

#include <algorithm>

namespace nvfp4::kernels::cpu_shared {

float scale_of_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row) {
  if (weight.scale2.empty()) return 1.0F;
  if (weight.per_row_scale) return weight.scale2[expert_idx * weight.out_features + row];
  if (weight.shard_rows.size() < 2) return weight.scale2[expert_idx];
  std::size_t shard_idx = 0;
  for (std::uint64_t end = weight.shard_rows[0]; row >= end; end += weight.shard_rows[shard_idx]) ++shard_idx;
  return weight.scale2[expert_idx * weight.shard_rows.size() + shard_idx];
}

void scales_of_rows(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t first_row,
                    std::uint64_t num_rows, float* out) {
  if (!weight.per_row_scale && weight.shard_rows.size() < 2) {
    std::fill_n(out, num_rows, scale_of_row(weight, expert_idx, first_row));
    return;
  }
  for (std::uint64_t r = 0; r < num_rows; ++r) out[r] = scale_of_row(weight, expert_idx, first_row + r);
}

}  // namespace nvfp4::kernels::cpu_shared
