#include "kernels/cuda_sm80/linear_rows_choice.h"

#include <algorithm>
#include <array>
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
std::uint32_t residents(const RowsLayer& layer, const ManyShape& shape) {
  const std::uint32_t by_shared =
      layer.shared_bytes_per_sm / (shape.shared_bytes(layer.weight_bytes) + kReservedSharedBytes);
  return std::max(1U, std::min(by_shared, kRegistersPerSm / (shape.registers * shape.threads())));
}

// Of a step of `blocks` blocks on each multiprocessor.
double step_ns(const RowsLayer& layer, const ManyShape& shape, std::uint32_t blocks) {
  const double products = static_cast<double>(shape.rows) * shape.tokens * kManyStepK;
  const double bytes = static_cast<double>(shape.stage_bytes(layer.weight_bytes));
  const double rate = layer.weight_bytes == 1 ? shape.rate_fp8 : shape.rate_bf16;
  return blocks * std::max(products / rate, bytes / kSmBytesPerNs);
}

double nanoseconds(const RowsLayer& layer, const RowsChoice& choice) {
  const ManyShape& shape = choice.many();
  const std::uint32_t at_once = residents(layer, shape);
  const std::uint32_t num_blocks = choice.num_tiles() * choice.num_splits;
  const std::uint32_t num_full = num_blocks / (at_once * layer.num_sms);
  const std::uint32_t rest = divided_up(num_blocks % (at_once * layer.num_sms), layer.num_sms);
  const double full_ns = step_ns(layer, shape, at_once);
  double ns = choice.steps_per_split * num_full * full_ns + num_full * kWaveNs;
  if (rest != 0) {
    const double share = kLoneShare + (1 - kLoneShare) * rest / at_once;
    ns += choice.steps_per_split * full_ns * share + kWaveNs;
  }
  if (choice.num_splits > 1) {
    ns +=
        kSplitNs + static_cast<double>(shape.rows) * shape.tokens * sizeof(float) * choice.num_splits / kPartBytesPerNs;
  }
  const double weight_bytes = static_cast<double>(layer.out_features) * layer.in_features * layer.weight_bytes;
  return std::max(ns, weight_bytes / kBytesPerNs);
}

RowsChoice choose_many(const RowsLayer& layer, std::uint32_t num_tokens) {
  RowsChoice best;
  double best_ns = std::numeric_limits<double>::infinity();
  const std::uint32_t all_steps = divided_up(layer.in_features, kManyStepK);
  for (std::uint32_t idx = 0; idx < num_many_shapes(layer.weight_bytes); ++idx) {
    const ManyShape& shape = kManyShapes[idx];
    if (shape.shared_bytes(layer.weight_bytes) > layer.shared_bytes_per_block) continue;
    RowsChoice choice;
    choice.many_idx = idx;
    choice.row_tiles = divided_up(layer.out_features, shape.rows);
    choice.token_tiles = divided_up(num_tokens, shape.tokens);
    for (std::uint32_t splits = 1; splits <= kMaxSplits; ++splits) {
      choice.steps_per_split = divided_up(all_steps, splits);
      if (divided_up(all_steps, choice.steps_per_split) != splits) continue;  // the last one would have nothing
      choice.num_splits = splits;
      // Parts run at once, which bounds their memory too.
      const bool fits = choice.steps_per_split >= kLeastSteps && !layer.batch_invariant &&
                        choice.num_tiles() * (splits - 1) < 2 * residents(layer, shape) * layer.num_sms;
      if (splits > 1 && !fits) break;
      const double ns = nanoseconds(layer, choice);
      if (ns >= best_ns) continue;
      best_ns = ns;
      best = choice;
    }
  }
  return best;
}

// Blocks of as many rows as leave work for this share of the multiprocessors.
template <std::size_t kCount>
RowsChoice choose_few(const std::array<FewShape, kCount>& shapes, const RowsLayer& layer, std::uint32_t num_tokens) {
  RowsChoice choice;
  choice.is_few = true;
  for (const FewShape& shape : shapes) {
    if (shape.tokens() < num_tokens || shape.tokens() >= num_tokens + 8) continue;
    choice.few = shape;
    const double least_share = shape.groups == 4 ? 0.55 : 0.4;
    const bool fits = shape.shared_bytes(layer.weight_bytes) <= layer.shared_bytes_per_block;
    if (fits && divided_up(layer.out_features, shape.rows()) >= least_share * layer.num_sms) break;
  }
  return choice;
}

}  // namespace

bool rows_fit(const RowsLayer& layer) {
  const std::uint32_t columns = max_few_tokens(layer.weight_bytes) / 8;
  const std::uint32_t few = FewShape{1, columns}.shared_bytes(layer.weight_bytes);
  const std::uint32_t many = kManyShapes[0].shared_bytes(layer.weight_bytes);
  return std::max(few, many) <= layer.shared_bytes_per_block;
}

RowsChoice choose_rows(const RowsLayer& layer, std::uint32_t num_tokens) {
  const bool is_few = num_tokens <= max_few_tokens(layer.weight_bytes) && !layer.batch_invariant;
  if (!is_few) return choose_many(layer, num_tokens);
  return layer.weight_bytes == 1 ? choose_few(kFewShapesFp8, layer, num_tokens)
                                 : choose_few(kFewShapesBf16, layer, num_tokens);
}

RowsNeeds rows_needs(const RowsLayer& layer, std::uint32_t max_tokens) {
  // The choice depends on numbers of tiles alone: it changes at multiples of the smallest tile's tokens.
  constexpr std::uint32_t kLeastTokens = kManyShapes[0].tokens;
  RowsNeeds needs;
  if (max_tokens <= max_few_tokens(layer.weight_bytes) || layer.batch_invariant) return needs;
  for (std::uint32_t num_tokens = kLeastTokens; num_tokens < max_tokens + kLeastTokens; num_tokens += kLeastTokens) {
    const RowsChoice choice = choose_many(layer, num_tokens);
    if (choice.num_splits == 1) continue;
    needs.num_arrivals = std::max(needs.num_arrivals, choice.num_tiles());
    needs.part_floats = std::max(needs.part_floats, choice.part_floats());
  }
  return needs;
}

}  // namespace nvfp4::kernels::cuda_sm80
