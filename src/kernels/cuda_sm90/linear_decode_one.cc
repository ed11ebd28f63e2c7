#include "kernels/cuda_sm90/linear_decode_one.h"

#include <algorithm>
#include <array>

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

std::uint32_t num_turns(const OneTokenPipe& pipe) { return divided_up(pipe.most_items(), pipe.teams()); }
// That a warp has at most.
std::uint32_t num_warp_tiles(const OneTokenPipe& pipe) { return num_turns(pipe) * pipe.part_tiles; }

OneTokenPipe divide(const OneTokenNeeds& needs, std::uint32_t split_shift) {
  OneTokenPipe pipe;
  pipe.num_tiles = needs.num_tiles;
  pipe.unit_shift = needs.unit_shift;
  const std::uint32_t num_units = needs.num_items >> needs.unit_shift;
  pipe.block_units = num_units / needs.num_blocks;
  pipe.larger_blocks = num_units % needs.num_blocks;
  pipe.split_shift = split_shift;
  pipe.part_tiles = divided_up(needs.num_tiles, pipe.split());
  return pipe;
}

// Slots, none if shared memory has not enough for `min_slots`, and where all lies.
OneTokenPipe with_places(OneTokenPipe pipe, const OneTokenNeeds& needs, std::uint32_t min_slots) {
  const std::uint32_t turns = num_turns(pipe);
  const std::uint32_t row_bytes =
      aligned((needs.rows_differ ? turns : 1) * kOneTokenWarps * pipe.part_tiles * kTileRowBytes);
  const std::uint32_t sum_bytes = std::min(turns, kOneTokenGroup) * kOneTokenWarps * kSumBytes;
  const std::uint32_t slot_bytes = kOneTokenWarps * (pipe.part_tiles * kTileBytes + kBarrierBytes);
  const std::uint32_t other_bytes = row_bytes + sum_bytes + kAlignment;
  if (needs.max_bytes < other_bytes) return pipe;
  const std::uint32_t slots = std::min({(needs.max_bytes - other_bytes) / slot_bytes, turns, needs.max_slots});
  if (slots < min_slots) return pipe;
  pipe.slots = slots;
  pipe.rows_at = aligned(kOneTokenWarps * slots * pipe.part_tiles * kTileBytes);
  pipe.sums_at = pipe.rows_at + row_bytes;
  pipe.barriers_at = pipe.sums_at + sum_bytes;
  pipe.num_bytes = pipe.barriers_at + kOneTokenWarps * slots * kBarrierBytes;
  return pipe;
}

using Divisions = std::array<OneTokenPipe, OneTokenPipe::kWarpsShift>;  // the largest parts first

// Of those with so many tiles and at least so many turns the first, if two of its parts fit, else one of which half of
// all do.
OneTokenPipe first_that_fits(const Divisions& divisions, const OneTokenNeeds& needs, std::uint32_t tiles,
                             std::uint32_t min_turns) {
  bool is_first = true;
  for (const OneTokenPipe& division : divisions) {
    const std::uint32_t turns = num_turns(division);
    if (num_warp_tiles(division) != tiles || turns < min_turns) continue;
    const std::uint32_t half = is_first ? 1 : divided_up(turns, 2);
    const OneTokenPipe pipe = with_places(division, needs, std::max(std::min(turns, 2U), half));
    if (pipe.slots != 0) return pipe;
    is_first = false;
  }
  return {};
}

}  // namespace

// Divisions that take the fewest tiles of time.
OneTokenPipe make_one_token_pipe(const OneTokenNeeds& needs) {
  Divisions divisions;
  std::uint32_t fewest = 0xFFFFFFFFU;
  for (std::uint32_t i = 0; i < divisions.size(); ++i) {
    divisions[i] = divide(needs, i + 1);
    fewest = std::min(fewest, num_warp_tiles(divisions[i]));
  }
  const OneTokenPipe pipe = first_that_fits(divisions, needs, fewest, needs.min_turns);
  return pipe.slots != 0 ? pipe : first_that_fits(divisions, needs, fewest, 1);
}

}  // namespace nvfp4::kernels::cuda_sm90
