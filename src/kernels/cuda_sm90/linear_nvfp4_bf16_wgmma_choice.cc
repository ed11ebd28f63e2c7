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
  double alone_share;                   // of that, for one block alone
  double tile_us;                       // storing, and finding the next one
  double split_us, part_us, column_us;  // adding up parts: each of them, and each column
};
constexpr std::array<Kind, 4> kKinds = {{{32, 128, 2, 128, 356, 0.2, 0.63, 0, 1.2, 0.15, 0.11},
                                         {64, 128, 2, 128, 316, 2.5, 0.69, 0, 4.4, 0.52, 0.01},
                                         {128, 256, 1, 64, 350, 2.9, 0.75, 2.7, 1, 1.4, 0},
                                         {256, 128, 1, 64, 300, 1.43, 0.75, 2.7, 3, 2, 0}}};
constexpr double kLaunchUs = 0.3;
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
  const double steps_us = divided_up(divided_up(layer.in_features, 64), num_splits) *
                          (kind.base_ns + kind.column_ns * tiling.max_columns) * 1e-3;
  const double parts_us =
      num_splits == 1 ? 0 : kind.split_us + kind.part_us * num_splits + kind.column_us * tiling.max_columns;
  const double tile_us = steps_us + kind.tile_us + parts_us;
  tiling.time_us = kLaunchUs + num_rounds(num_tiles(layer, kind, tiling), at_once, kind.alone_share) * tile_us;
  return tiling;
}

}  // namespace

LinearTiling choose_linear_tiling(std::uint32_t out_features, std::uint32_t in_features, std::uint32_t num_tokens,
                                  std::uint32_t num_sms, const LinearSplits& splits) {
  const Layer layer{out_features, in_features, num_tokens, num_sms};
  LinearTiling best;
  const auto consider = [&](const LinearTiling& tiling) {
    if (best.kind == 0 || tiling.time_us < best.time_us) best = tiling;
  };
  // `at_once`: tiles.
  const auto consider_split = [&](const Kind& kind, std::uint32_t shares, std::uint32_t num_splits,
                                  std::uint32_t at_once) {
    if (at_once == 0 || divided_up(in_features, kind.stage_columns) < num_splits) return;
    const LinearTiling tiling = tiling_of(layer, kind, shares, num_splits, at_once);
    if (num_tiles(layer, kind, tiling) <= at_once) consider(tiling);
  };
  for (const Kind& kind : kKinds) {
    const std::uint32_t fewest = divided_up(num_tokens, kind.max_columns);
    const std::uint32_t most = std::min(divided_up(num_tokens, 8), fewest + 8);
    const std::uint32_t at_once = num_sms * kind.blocks_per_sm;
    for (std::uint32_t shares = fewest; shares <= most; ++shares) {
      consider(tiling_of(layer, kind, shares, 1, at_once));
      if (kind.blocks_per_sm == 1) {
        for (std::size_t i = 0; i < kClusters.size(); ++i) {
          consider_split(kind, shares, kClusters[i], splits.clusters[i]);
        }
      } else if (splits.in_memory) {
        for (std::uint32_t num = 2; num <= kMostSplitsInMemory; ++num) consider_split(kind, shares, num, at_once / num);
      }
    }
  }
  return best;
}

}  // namespace nvfp4::kernels::cuda_sm90
