#include "kernels/cuda_sm80/tile_choice.h"

#include <algorithm>
#include <limits>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Measured on an H200; what counts is how they compare, which is alike on its relatives.
constexpr double kSmBytesPerNs = 64;          // that come to a multiprocessor
constexpr double kBytesPerNs = 4300;          // that come from memory
constexpr double kPartBytesPerNs = 2950;      // of parts of tiles, written and read
constexpr double kBlockNs = 1750;             // to start and to end a block,
constexpr double kSumNs = 0.38;               // and for each of its sums
constexpr std::uint32_t kLeastSteps = 4;      // of a part of a tile
constexpr std::uint32_t kLeastShare = 8;      // steps of a block that has an equal share of all tiles,
constexpr double kMostTilesOfShare = 1.25;    // and tiles for each such block
constexpr std::uint32_t kMaxSplits = 16;      // of a tile
constexpr std::uint32_t kLeastTileRows = 64;  // of any kind
constexpr std::uint32_t kLeastTileTokens = 32;
constexpr std::uint32_t kRegistersPerSm = 65536;
constexpr std::uint32_t kReservedSharedBytes = 1024;

// Blocks that a multiprocessor runs at once.
std::uint32_t residents(const TileLayer& layer, const TileKind& kind) {
  const std::uint32_t by_shared = layer.shared_bytes_per_sm / (kind.shared_bytes + kReservedSharedBytes);
  return std::max(1U, std::min(by_shared, kRegistersPerSm / (kind.registers * kind.threads)));
}

// Of a step of `blocks` blocks on each multiprocessor.
double step_ns(const TileKind& kind, std::uint32_t blocks) {
  return std::max(kind.times.lone_ns, blocks * std::max(kind.times.shared_ns, kind.stage_bytes / kSmBytesPerNs));
}

double nanoseconds(const TileLayer& layer, const TileKind& kind, const TileChoice& choice) {
  const std::uint32_t at_once = residents(layer, kind);
  const std::uint32_t num_blocks = choice.num_blocks();
  const std::uint32_t num_full = num_blocks / (at_once * layer.num_sms);
  const std::uint32_t rest = divided_up(num_blocks % (at_once * layer.num_sms), layer.num_sms);
  const double steps = divided_up(choice.span_steps(), choice.num_splits);
  const double block_ns = kBlockNs + kSumNs * kind.rows * kind.tokens;
  double ns = num_full * (steps * step_ns(kind, at_once) + block_ns);
  if (rest != 0) ns += steps * step_ns(kind, rest) + block_ns;
  ns += static_cast<double>(choice.part_floats(kind)) / choice.parts_per_block() * 2 * sizeof(float) / kPartBytesPerNs;
  const double weight_bytes = static_cast<double>(layer.out_features) * layer.in_features * layer.bytes_per_weight;
  return std::max(ns, weight_bytes / kBytesPerNs);
}

// What is best of those that it is asked about.
class BestChoice {
 public:
  explicit BestChoice(const TileLayer& layer) : layer_(layer) {}
  void consider(const TileKind& kind, const TileChoice& choice) {
    const double ns = nanoseconds(layer_, kind, choice);
    if (ns >= best_ns_) return;
    best_ns_ = ns;
    best_ = choice;
  }
  [[nodiscard]] const TileChoice& best() const { return best_; }

 private:
  const TileLayer& layer_;
  TileChoice best_;
  double best_ns_ = std::numeric_limits<double>::infinity();
};

void consider_parts(const TileLayer& layer, const TileKind& kind, TileChoice choice, BestChoice& best) {
  const std::uint32_t at_once = residents(layer, kind);
  for (std::uint32_t splits = 2; splits <= kMaxSplits && choice.steps / splits >= kLeastSteps; ++splits) {
    // Parts run at once, which bounds their memory too.
    if (std::uint64_t{choice.num_tiles()} * (splits - 1) >= std::uint64_t{2} * at_once * layer.num_sms) break;
    choice.num_splits = splits;
    best.consider(kind, choice);
  }
  // With many more tiles than blocks, blocks at other places of K at a time share too little in the L2 cache.
  choice.span_tiles = choice.num_tiles();
  choice.num_splits = at_once * layer.num_sms;
  const bool are_few = choice.span_tiles > 1 && choice.span_tiles <= kMostTilesOfShare * choice.num_splits;
  if (are_few && choice.span_steps() / choice.num_splits >= kLeastShare) best.consider(kind, choice);
}

}  // namespace

TileChoice choose_tiles(const TileLayer& layer, std::span<const TileKind> kinds, std::uint32_t num_tokens) {
  BestChoice best(layer);
  for (std::uint32_t idx = 0; idx < kinds.size(); ++idx) {
    const TileKind& kind = kinds[idx];
    if (kind.shared_bytes > layer.shared_bytes_per_block) continue;
    TileChoice choice;
    choice.kind_idx = idx;
    choice.row_tiles = divided_up(layer.out_features, kind.rows);
    choice.token_tiles = divided_up(num_tokens, kind.tokens);
    choice.steps = divided_up(layer.in_features, kTileStepK);
    best.consider(kind, choice);
    if (!layer.batch_invariant) consider_parts(layer, kind, choice, best);
  }
  return best.best();
}

std::uint32_t even_shared_bytes(const TileLayer& layer, const TileKind& kind, const TileChoice& choice) {
  const std::uint32_t at_once = divided_up(choice.num_blocks(), layer.num_sms);
  if (at_once >= residents(layer, kind)) return kind.shared_bytes;
  const std::uint32_t share = layer.shared_bytes_per_sm / at_once - kReservedSharedBytes;
  return std::max(kind.shared_bytes, std::min(share, layer.shared_bytes_per_block) / 128 * 128);
}

std::string tiles_refusal(const TileLayer& layer, std::uint32_t max_tokens) {
  const std::uint64_t token_tiles = (std::uint64_t{max_tokens} + kLeastTileTokens - 1) / kLeastTileTokens;
  const std::uint64_t tiles = divided_up(layer.out_features, kLeastTileRows) * token_tiles;
  const std::uint64_t steps = divided_up(layer.in_features, kTileStepK);
  if (tiles < 1U << 31U && tiles * steps < 1ULL << 32U) return {};
  return std::to_string(max_tokens) + " tokens are more than one launch can have";
}

TileNeeds tile_needs(const TileLayer& layer, std::span<const TileKind> kinds, std::uint32_t max_tokens) {
  TileNeeds needs;
  if (layer.batch_invariant) return needs;
  // The choice depends on numbers of tiles alone: it changes at multiples of the smallest tile's tokens.
  std::uint32_t least_tokens = std::numeric_limits<std::uint32_t>::max();
  for (const TileKind& kind : kinds) least_tokens = std::min(least_tokens, kind.tokens);
  for (std::uint64_t num_tokens = least_tokens; num_tokens < std::uint64_t{max_tokens} + least_tokens;
       num_tokens += least_tokens) {
    const TileChoice choice = choose_tiles(layer, kinds, static_cast<std::uint32_t>(num_tokens));
    if (!choice.has_parts()) continue;
    needs.num_arrivals = std::max(needs.num_arrivals, choice.num_tiles());
    needs.part_floats = std::max(needs.part_floats, choice.part_floats(kinds[choice.kind_idx]));
  }
  return needs;
}

}  // namespace nvfp4::kernels::cuda_sm80
