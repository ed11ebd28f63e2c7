#include "kernels/cuda_sm90/linear_decode_one.h"

#include <algorithm>

#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kTileBytes = Fragment16x64::kBytes;
constexpr std::uint32_t kTileRowBytes = Fragment16x64::kCols * 2;
constexpr std::uint32_t kAlignment = 128;
constexpr std::uint32_t kSumBytes = 16 * 4;  // of a warp and an item
constexpr std::uint32_t kBarrierBytes = 8;

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }
constexpr std::uint32_t aligned(std::uint32_t bytes) { return divided_up(bytes, kAlignment) * kAlignment; }

}  // namespace

OneTokenPipe make_one_token_pipe(const OneTokenNeeds& needs) {
  OneTokenPipe pipe;
  pipe.num_tiles = needs.num_tiles;
  pipe.unit_shift = needs.unit_shift;
  const std::uint32_t num_units = needs.num_items >> needs.unit_shift;
  pipe.block_units = num_units / needs.num_blocks;
  pipe.larger_blocks = num_units % needs.num_blocks;
  const std::uint32_t most_items = pipe.most_items();
  // The division that takes the fewest tiles of time; of equal ones, the one with the largest parts.
  std::uint32_t fewest = 0xFFFFFFFFU;
  for (std::uint32_t shift = 1; shift <= OneTokenPipe::kWarpsShift; ++shift) {
    const std::uint32_t tiles =
        divided_up(most_items << shift, kOneTokenWarps) * divided_up(needs.num_tiles, 1U << shift);
    if (tiles >= fewest) continue;
    fewest = tiles;
    pipe.split_shift = shift;
  }
  pipe.part_tiles = divided_up(needs.num_tiles, pipe.split());
  const std::uint32_t turns = divided_up(most_items, pipe.teams());
  const std::uint32_t row_bytes =
      aligned((needs.rows_differ ? turns : 1) * kOneTokenWarps * pipe.part_tiles * kTileRowBytes);
  const std::uint32_t sum_bytes = std::min(turns, kOneTokenGroup) * kOneTokenWarps * kSumBytes;
  const std::uint32_t slot_bytes = kOneTokenWarps * (pipe.part_tiles * kTileBytes + kBarrierBytes);
  const std::uint32_t other_bytes = row_bytes + sum_bytes + kAlignment;
  if (needs.max_bytes < other_bytes) return pipe;
  const std::uint32_t slots = std::min({(needs.max_bytes - other_bytes) / slot_bytes, turns, needs.max_slots});
  if (slots < std::min(turns, 2U)) return pipe;
  pipe.slots = slots;
  pipe.rows_at = aligned(kOneTokenWarps * slots * pipe.part_tiles * kTileBytes);
  pipe.sums_at = pipe.rows_at + row_bytes;
  pipe.barriers_at = pipe.sums_at + sum_bytes;
  pipe.num_bytes = pipe.barriers_at + kOneTokenWarps * slots * kBarrierBytes;
  return pipe;
}

}  // namespace nvfp4::kernels::cuda_sm90
