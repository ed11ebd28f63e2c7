// What a kernel that multiplies FP4 numbers is given. Device pointers.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm120 {

struct Fp4Call {
  const std::uint8_t* weights = nullptr;  // kBlockScaled16x64 [E][row_groups][k_tiles][576]
  std::uint32_t row_groups = 0;
  std::uint32_t k_tiles = 0;  // of 64 columns
  std::uint32_t num_experts = 1;
  // Rows of activations (layouts/quantized_rows_256.h). Of an expert: those from offsets[e] to offsets[e + 1], where
  // row r is that of token pair_of_row[r] / top_k, or r itself. Without offsets: all num_rows.
  const std::uint8_t* codes = nullptr;
  std::uint64_t code_rows = 0;
  const std::int32_t* pair_of_row = nullptr;  // or null
  std::uint32_t top_k = 1;
  const std::int32_t* offsets = nullptr;  // [E + 1] or null
  std::uint32_t num_rows = 0;
  // Parts of K of a tile; without offsets.
  std::uint32_t num_splits = 1;
  std::uint32_t chunks_per_split = 0;
  std::uint32_t* arrivals = nullptr;  // [tiles], 0 before and after
  float* parts = nullptr;             // [tiles][splits][sums of a tile]
};

}  // namespace nvfp4::kernels::cuda_sm120
