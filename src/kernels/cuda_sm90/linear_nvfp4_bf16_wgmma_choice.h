// How a linear layer is cut into tiles for the wgmma kernels: the cheapest way by measured times.
#pragma once

#include <array>
#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

// How blocks may share K. Those of which a multiprocessor runs one, in clusters of so many blocks.
inline constexpr std::array<std::uint32_t, 3> kClusters = {2, 4, 8};
// Those of which it runs two, up to so many through memory.
inline constexpr std::uint32_t kMostSplitsInMemory = 8;
struct LinearSplits {
  bool in_memory = false;
  std::array<std::uint32_t, kClusters.size()> clusters{};  // that run at once; 0: none are wanted
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
                                                const LinearSplits& splits);

}  // namespace nvfp4::kernels::cuda_sm90
