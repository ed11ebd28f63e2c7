// What the copy engine must know of the tensors that the wgmma kernels read: made on the host, handed over by value.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

// Weights in kFragment16x64 [num_matrices][row_groups][k_tiles][576]: boxes of box_groups x box_tiles tiles.
[[nodiscard]] Status weight_map(const std::uint8_t* weights, std::uint32_t num_matrices, std::uint32_t row_groups,
                                std::uint32_t k_tiles, std::uint32_t box_groups, std::uint32_t box_tiles,
                                CUtensorMap& map);

// A BF16 matrix [rows, K], K a multiple of 16: boxes of `box_rows` rows x 64 columns, swizzled for wgmma.
[[nodiscard]] Status matrix_map(const std::uint16_t* matrix, std::uint32_t rows, std::uint32_t in_features,
                                std::uint32_t box_rows, CUtensorMap& map);

}  // namespace nvfp4::kernels::cuda_sm90
