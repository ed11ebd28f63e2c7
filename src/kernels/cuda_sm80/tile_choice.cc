#include "kernels/cuda_sm80/tile_choice.h"

#include <algorithm>
#include <limits>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Measured on an H200; what counts is how they compare, which is alike on its relatives.
constexpr double kSmBytesPerNs = 64;      // that come to a multiprocessor
constexpr double kBytesPerNs = 4300;      // that come from memory
constexpr double kLoneShare = 0.37;       // of a full multiprocessor's time that one block takes at least
constexpr double kWaveNs = 1100;          // to start and to end blocks
constexpr double kSplitNs = 1900;         // until a tile's last block knows that it is
constexpr double kPartBytesPerNs = 43;    // that it adds up
constexpr std::uint32_t kLeastSteps = 4;  // of a part of K
constexpr std::uint32_t kMaxSplits = 16;
constexpr std::uint32_t kRegistersPerSm = 65536;
constexpr std::uint32_t kReservedSharedBytes = 1024;

// Blocks that a multiprocessor runs at once.
std::uint32_t residents(const TileLayer& layer, const TileKind& kind) {
  const std::uint32_t by_shared = layer.shared_bytes_per_sm / (kind.shared_bytes + kReservedSharedBytes);
  return std::max(1U, std::min(by_shared, kRegistersPerSm / (kind.registers * kind.threads)));
}

// Of a step of `blocks` blocks on each multiprocessor.
double step_ns(const TileKind& kind, std::uint32_t blocks) {
  const double products = static_cast<double>(kind.rows) * kind.tokens * kTileStepK;
  return blocks * std::max(products / kind.rate, kind.stage_bytes / kSmBytesPerNs);
}

double nanoseconds(const TileLayer& layer, const TileKind& kind, const TileChoice& choice) {
  const std::uint32_t at_once = residents(layer, kind);
  const std::uint32_t num_blocks = choice.num_tiles() * choice.num_splits;
  const std::uint32_t num_full = num_blocks / (at_once * layer.num_sms);
  const std::uint32_t rest = divided_up(num_blocks % (at_once * layer.num_sms), layer.num_sms);
  const double full_ns = step_ns(kind, at_once);
  double ns = choice.steps_per_split * num_full * full_ns + num_full * kWaveNs;
  if (rest != 0) {
    const double share = kLoneShare + (1 - kLoneShare) * rest / at_once;
    ns += choice.steps_per_split * full_ns * share + kWaveNs;
  }
  if (choice.num_splits > 1) {
    ns += kSplitNs + static_cast<double>(kind.rows) * kind.tokens * sizeof(float) * choice.num_splits / kPartBytesPerNs;
  }
  const double weight_bytes = static_cast<double>(layer.out_features) * layer.in_features * layer.bytes_per_weight;
  return std::max(ns, weight_bytes / kBytesPerNs);
}

}  // namespace

TileChoice choose_tiles(const TileLayer& layer, std::span<const TileKind> kinds, std::uint32_t num_tokens) {
  TileChoice best;
  double best_ns = std::numeric_limits<double>::infinity();
  const std::uint32_t all_steps = divided_up(layer.in_features, kTileStepK);
  for (std::uint32_t idx = 0; idx < kinds.size(); ++idx) {
    const TileKind& kind = kinds[idx];
    if (kind.shared_bytes > layer.shared_bytes_per_block) continue;
    TileChoice choice;
    choice.kind_idx = idx;
    choice.row_tiles = divided_up(layer.out_features, kind.rows);
    choice.token_tiles = divided_up(num_tokens, kind.tokens);
    for (std::uint32_t splits = 1; splits <= kMaxSplits; ++splits) {
      choice.steps_per_split = divided_up(all_steps, splits);
      if (divided_up(all_steps, choice.steps_per_split) != splits) continue;  // the last one would have nothing
      choice.num_splits = splits;
      // Parts run at once, which bounds their memory too.
      const bool fits = choice.steps_per_split >= kLeastSteps && !layer.batch_invariant &&
                        choice.num_tiles() * (splits - 1) < 2 * residents(layer, kind) * layer.num_sms;
      if (splits > 1 && !fits) break;
      const double ns = nanoseconds(layer, kind, choice);
      if (ns >= best_ns) continue;
      best_ns = ns;
      best = choice;
    }
  }
  return best;
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
    if (choice.num_splits == 1) continue;
    needs.num_arrivals = std::max(needs.num_arrivals, choice.num_tiles());
    needs.part_floats = std::max(needs.part_floats, choice.part_floats(kinds[choice.kind_idx]));
  }
  return needs;
}

}  // namespace nvfp4::kernels::cuda_sm80
