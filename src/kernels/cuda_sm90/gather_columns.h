// Rows of a matrix in the order of sorted rows, as the image that ColumnImage (wgmma_copies.cuh) reads.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

struct GatherColumns {
  const Bf16Bits* x = nullptr;  // [rows][K]
  std::uint32_t in_features = 0;
  // [num_rows]: sorted row r is row pair_of_row[r] / pairs_per_row of x.
  const std::int32_t* pair_of_row = nullptr;
  std::uint32_t pairs_per_row = 1;
  const std::int32_t* offsets = nullptr;  // [E + 1] first sorted row of each expert; null: one expert, all rows as in x
  std::uint32_t num_experts = 1;
  std::uint32_t num_rows = 0;     // sorted rows at most; those of no expert are left out
  std::uint8_t* image = nullptr;  // [ceil(K / 64)][image_rows][128 bytes]
  std::uint64_t image_rows = 0;   // num_image_rows(num_rows, num_experts) or more
};

// What is missing to whole tiles of 64, and to whole eights of rows of an expert, becomes 0.
[[nodiscard]] Status gather_columns(const GatherColumns& gather, DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm90
