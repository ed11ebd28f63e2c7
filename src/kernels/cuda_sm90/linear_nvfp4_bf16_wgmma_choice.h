// How a linear layer is cut into tiles for the wgmma kernels: the cheapest way by measured times.
#pragma once

#include <array>
#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

// Blocks of a cluster that share K, and how many such clusters run at once; 0: none are wanted.
inline constexpr std::array<std::uint32_t, 3> kSplits = {2, 4, 8};
struct WgmmaClusters {
  std::array<std::uint32_t, kSplits.size()> of_pairs{};   // kernels of which a multiprocessor runs two blocks
  std::array<std::uint32_t, kSplits.size()> of_single{};  // and one
};

struct LinearTiling {
  std::uint32_t kind = 0;         // kMaxColumns of the kernel: 32, 64, 128 or 256
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
