#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"

#include <algorithm>

namespace nvfp4::kernels::cuda_sm90 {
namespace {

// Measured on an H200: a tile's 64 numbers of K take base + column * columns, once all multiprocessors are at it.
struct Kind {
  std::uint32_t max_columns;
  std::uint32_t rows;  // of a tile
  double base_ns, column_ns;
  bool splits;
};
constexpr std::array<Kind, 3> kKinds = {
    {{64, 256, 400, 3.1, true}, {128, 256, 430, 2.6, true}, {256, 128, 400, 1.33, false}}};
constexpr double kLaunchUs = 3.5;
constexpr double kTileUs = 1.2;   // storing, and finding the next one
constexpr double kSplitUs = 2.5;  // adding up the parts
constexpr std::uint32_t kBandRows = 2048;

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

struct Layer {
  std::uint32_t out_features, in_features, num_tokens, num_sms;
};

// Tiles of equal shares of the tokens, `num_shares` of them.
LinearTiling tiling_of(const Layer& layer, const Kind& kind, std::uint32_t num_shares, std::uint32_t num_splits,
                       std::uint32_t at_once) {
  LinearTiling tiling;
  tiling.kind = kind.max_columns;
  tiling.max_columns = divided_up(divided_up(layer.num_tokens, num_shares), 8) * 8;
  tiling.band = kBandRows / kind.rows;
  tiling.num_splits = num_splits;
  const std::uint32_t tiles =
      divided_up(layer.out_features, kind.rows) * divided_up(layer.num_tokens, tiling.max_columns);
  const double tile_us = divided_up(divided_up(layer.in_features, 64), num_splits) *
                             (kind.base_ns + kind.column_ns * tiling.max_columns) * 1e-3 +
                         kTileUs + (num_splits > 1 ? kSplitUs : 0.0);
  tiling.time_us = kLaunchUs + divided_up(tiles, at_once) * tile_us;
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
      consider(tiling_of(layer, kind, shares, 1, num_sms));
      if (!kind.splits) continue;
      const std::uint32_t num_stages = divided_up(in_features, kind.max_columns <= 64 ? 128 : 64);
      for (const auto& [splits, at_once] : {std::pair{2U, clusters.of_2}, std::pair{4U, clusters.of_4}}) {
        if (at_once != 0 && num_stages >= splits) consider(tiling_of(layer, kind, shares, splits, at_once));
      }
    }
  }
  return best;
}

}  // namespace nvfp4::kernels::cuda_sm90
