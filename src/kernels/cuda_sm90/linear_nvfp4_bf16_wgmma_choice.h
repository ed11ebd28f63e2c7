// How a linear layer is cut into tiles for the wgmma kernels: the cheapest way by measured times.
#pragma once

#include <array>
#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

// Clusters of 2 and of 4 blocks that run at once; 0: none are wanted.
struct WgmmaClusters {
  std::uint32_t of_2 = 0, of_4 = 0;
};

struct LinearTiling {
  std::uint32_t kind = 0;         // kMaxColumns of the kernel: 64, 128 or 256
  std::uint32_t max_columns = 0;  // tokens of a tile
  std::uint32_t band = 0;         // row tiles that are computed side by side
  std::uint32_t num_splits = 1;   // of K
  double time_us = 0;             // as expected
};

// For tokens above 0.
[[nodiscard]] LinearTiling choose_linear_tiling(std::uint32_t out_features, std::uint32_t in_features,
                                                std::uint32_t num_tokens, std::uint32_t num_sms,
                                                const WgmmaClusters& clusters);

}  // namespace nvfp4::kernels::cuda_sm90
