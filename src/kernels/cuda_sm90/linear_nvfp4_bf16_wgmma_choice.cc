#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"

#include <algorithm>

namespace nvfp4::kernels::cuda_sm90 {
namespace {

// Measured on an H200: 64 numbers of K of a tile take base + column * columns, once every multiprocessor has as many
// blocks as fit; fewer blocks take less.
struct Kind {
  std::uint32_t max_columns;
  std::uint32_t rows;  // of a tile
  std::uint32_t blocks_per_sm;
  std::uint32_t stage_columns;  // of K
  double base_ns, column_ns;
  double alone_share;  // of that, for one block alone
  double split_us;     // adding up parts; 0: there are none
};
constexpr std::array<Kind, 4> kKinds = {{{32, 128, 2, 128, 350, 2.0, 0.55, 1.0},
                                         {64, 256, 1, 128, 375, 2.0, 0.75, 3.5},
                                         {128, 256, 1, 64, 350, 2.9, 0.75, 3.5},
                                         {256, 128, 1, 64, 300, 1.43, 0.75, 4.0}}};
constexpr double kLaunchUs = 2.0;
constexpr double kTileUs = 1.0;  // storing, and finding the next one
constexpr std::uint32_t kBandRows = 2048;

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

struct Layer {
  std::uint32_t out_features, in_features, num_tokens, num_sms;
};

// Rounds of `at_once` tiles each, the last one perhaps of fewer.
double num_rounds(std::uint32_t tiles, std::uint32_t at_once, double alone_share) {
  const std::uint32_t rest = tiles % at_once;
  const double last = rest == 0 ? 0.0 : alone_share + (1.0 - alone_share) * rest / at_once;
  return tiles / at_once + last;
}

std::uint32_t num_tiles(const Layer& layer, const Kind& kind, const LinearTiling& tiling) {
  return divided_up(layer.out_features, kind.rows) * divided_up(layer.num_tokens, tiling.max_columns);
}

// Tiles of equal shares of the tokens, `num_shares` of them.
LinearTiling tiling_of(const Layer& layer, const Kind& kind, std::uint32_t num_shares, std::uint32_t num_splits,
                       std::uint32_t at_once) {
  LinearTiling tiling;
  tiling.kind = kind.max_columns;
  tiling.max_columns = divided_up(divided_up(layer.num_tokens, num_shares), 8) * 8;
  tiling.band = kBandRows / kind.rows;
  tiling.num_splits = num_splits;
  const double tile_us = divided_up(divided_up(layer.in_features, 64), num_splits) *
                             (kind.base_ns + kind.column_ns * tiling.max_columns) * 1e-3 +
                         kTileUs + (num_splits > 1 ? kind.split_us : 0.0);
  tiling.time_us = kLaunchUs + num_rounds(num_tiles(layer, kind, tiling), at_once, kind.alone_share) * tile_us;
  return tiling;
}

}  // namespace

LinearTiling choose_linear_tiling(std::uint32_t out_features, std::uint32_t in_features, std::uint32_t num_tokens,
                                  std::uint32_t num_sms, const WgmmaClusters& clusters) {
  const Layer layer{out_features, in_features, num_tokens, num_sms};
  LinearTiling best;
  const auto consider = [&](const LinearTiling& tiling) {
    if (best.kind == 0 || tiling.time_us < best.time_us) best = tiling;
  };
  for (const Kind& kind : kKinds) {
    const std::uint32_t fewest = divided_up(num_tokens, kind.max_columns);
    const std::uint32_t most = std::min(divided_up(num_tokens, 8), fewest + 8);
    for (std::uint32_t shares = fewest; shares <= most; ++shares) {
      consider(tiling_of(layer, kind, shares, 1, num_sms * kind.blocks_per_sm));
      for (std::size_t i = 0; kind.split_us > 0 && i < kSplits.size(); ++i) {
        const bool has_parts = divided_up(in_features, kind.stage_columns) >= kSplits[i];
        const std::uint32_t at_once = (kind.blocks_per_sm == 2 ? clusters.of_pairs : clusters.of_single)[i];
        const LinearTiling tiling = tiling_of(layer, kind, shares, kSplits[i], std::max(at_once, 1U));
        if (has_parts && num_tiles(layer, kind, tiling) <= at_once) consider(tiling);
      }
    }
  }
  return best;
}

}  // namespace nvfp4::kernels::cuda_sm90
