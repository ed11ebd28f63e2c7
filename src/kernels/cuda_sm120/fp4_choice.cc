#include "kernels/cuda_sm120/fp4_choice.h"

#include <algorithm>
#include <limits>

namespace nvfp4::kernels::cuda_sm120 {
namespace {

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Cycles of a multiprocessor, predicted from the published rates of a GeForce RTX 5090; what counts is how they
// compare.
constexpr double kProductsPerCycle = 2048;    // of E2M1 numbers
constexpr double kSmBytesPerCycle = 24;       // that come to a multiprocessor from the L2 cache
constexpr double kMemoryBytesPerCycle = 4.4;  // that come from memory, for each multiprocessor
constexpr double kChunkCycles = 250;          // that a chunk takes at least: barriers, and loads of operands
constexpr double kTileCycles = 600;           // to begin and to end a tile, while the next one is copied already
constexpr double kSplitCycles = 2500;         // until a tile's last block knows that it is
constexpr double kPartBytesPerCycle = 16;     // that it adds up
constexpr std::uint32_t kLeastChunks = 2;     // of a part of K
constexpr std::uint32_t kMaxSplits = 16;

// Of a chunk of K in a tile with so many tokens, where `blocks` blocks run on a multiprocessor.
double chunk_cycles(const Fp4Shape& shape, std::uint32_t num_tokens, std::uint32_t blocks) {
  const double tokens = divided_up(std::min(num_tokens, shape.tokens()), 8) * 8;
  const double products = shape.rows() * tokens * 256 / kProductsPerCycle;
  const double bytes = (shape.rows() + tokens) * kRowBytes / kSmBytesPerCycle;
  return std::max(kChunkCycles, blocks * std::max(products, bytes));
}

double cycles(const Fp4Layer& layer, const Fp4Choice& choice, std::uint32_t num_tokens) {
  const Fp4Shape& shape = choice.shape();
  const std::uint32_t num_items = choice.num_tiles * choice.num_splits;
  const std::uint32_t blocks = std::min(shape.blocks_per_sm, divided_up(num_items, layer.num_sms));
  double of_item = choice.chunks_per_split * chunk_cycles(shape, num_tokens, blocks) + kTileCycles;
  if (choice.num_splits > 1) {
    of_item += kSplitCycles + shape.rows() * shape.tokens() * 4.0 * choice.num_splits / kPartBytesPerCycle;
  }
  const double memory = static_cast<double>(layer.out_features) * layer.in_features * kRowBytes / 256 /
                        (kMemoryBytesPerCycle * layer.num_sms);
  const double work = divided_up(num_items, blocks * layer.num_sms) * of_item;
  // Among those that wait for memory the quicker one.
  return std::max(work, memory) + 0.1 * std::min(work, memory);
}

// best_cycles: of what there was; it becomes that of the choice, if this is quicker.
Fp4Choice of_shape(const Fp4Layer& layer, std::uint32_t num_tokens, std::uint32_t shape_idx, double& best_cycles) {
  const Fp4Shape& shape = kFp4Shapes[shape_idx];
  const std::uint32_t num_chunks = divided_up(layer.in_features, QuantizedRows256::kCols);
  Fp4Choice best;
  for (std::uint32_t splits = 1; splits <= kMaxSplits; ++splits) {
    Fp4Choice choice{shape_idx};
    choice.num_tiles = divided_up(layer.out_features, shape.rows()) * divided_up(num_tokens, shape.tokens());
    choice.chunks_per_split = divided_up(num_chunks, splits);
    if (divided_up(num_chunks, choice.chunks_per_split) != splits) continue;  // the last one would have nothing
    choice.num_splits = splits;
    // Parts run at once, which bounds their memory, too.
    const bool fits = choice.chunks_per_split >= kLeastChunks && !layer.batch_invariant &&
                      choice.num_tiles * (splits - 1) < shape.blocks_per_sm * layer.num_sms;
    if (splits > 1 && !fits) break;
    const double needed = cycles(layer, choice, num_tokens);
    if (needed >= best_cycles) continue;
    best_cycles = needed;
    best = choice;
  }
  return best;
}

}  // namespace

Fp4Choice choose_fp4(const Fp4Layer& layer, std::uint32_t num_tokens) {
  Fp4Choice best;
  double best_cycles = std::numeric_limits<double>::infinity();
  const std::uint32_t first = layer.batch_invariant ? kFirstOrderedShape : 0;
  for (std::uint32_t shape_idx = first; shape_idx < kFp4Shapes.size(); ++shape_idx) {
    // No tiles that would stay nearly empty, whose predicted time is the least certain.
    if (shape_idx != first && kFp4Shapes[shape_idx].tokens() > 4 * divided_up(num_tokens, 8) * 8) break;
    double shape_cycles = best_cycles;
    const Fp4Choice choice = of_shape(layer, num_tokens, shape_idx, shape_cycles);
    if (shape_cycles >= best_cycles) continue;
    best_cycles = shape_cycles;
    best = choice;
  }
  return best;
}

Fp4Needs fp4_needs(const Fp4Layer& layer, std::uint32_t max_tokens) {
  Fp4Needs needs;
  if (layer.batch_invariant) return needs;
  // The choice changes at multiples of 8 tokens; from kMost on no layer has tiles to split.
  constexpr std::uint32_t kMost = 1U << 16U;
  for (std::uint32_t num_tokens = 1; num_tokens < std::min(max_tokens, kMost) + 8; num_tokens += 8) {
    const Fp4Choice choice = choose_fp4(layer, num_tokens);
    if (choice.num_splits == 1) continue;
    needs.num_arrivals = std::max(needs.num_arrivals, choice.num_tiles);
    needs.part_floats = std::max(needs.part_floats, choice.part_floats());
  }
  return needs;
}

std::uint32_t choose_expert_shape(std::uint32_t num_rows, std::uint32_t num_experts, bool batch_invariant) {
  // Experts differ in how many rows they have: tiles hold about twice the average.
  const std::uint32_t average = divided_up(num_rows, num_experts);
  const std::uint32_t shape_idx = average <= 4 ? 0 : average <= 16 ? 1 : average <= 48 ? 2 : 3;
  return batch_invariant ? std::max(shape_idx, kFirstOrderedShape) : shape_idx;
}

}  // namespace nvfp4::kernels::cuda_sm120
