#include "kernels/cuda_sm90/linear_decode_pipe.h"

#include <algorithm>
#include <array>
#include <bit>

#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kTileBytes = Fragment16x64::kBytes;
// Of which a block has two to eight under way: the first that fits.
constexpr std::array<std::uint32_t, 3> kStageBytes = {48U << 10, 24U << 10, 12U << 10};
constexpr std::uint32_t kAlignment = 128;
constexpr std::uint32_t kSumBytes = 32 * 16;  // of a warp, for 8 tokens
constexpr std::uint32_t kBarrierBytes = 8;

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }
constexpr std::uint32_t aligned(std::uint32_t bytes) { return divided_up(bytes, kAlignment) * kAlignment; }

struct Division {
  std::uint32_t min_tiles, stripes, teams;
};
// 16 warps, 3 to 8 tiles for each of an item: enough to hide what an item costs besides, few enough that the last
// item's end is near. All of K of several items fits into a stage.
constexpr std::array<Division, 5> kDivisions = {{{43, 16, 1}, {22, 8, 2}, {10, 4, 4}, {4, 2, 8}, {0, 1, 8}}};

Division division_of(std::uint32_t num_tiles) {
  return *std::find_if(kDivisions.begin(), kDivisions.end(),
                       [&](const Division& division) { return num_tiles >= division.min_tiles; });
}

DecodePipe with_buffers(DecodePipe pipe, const DecodePipeNeeds& needs, std::uint32_t row_buffers) {
  pipe.stages = 0;
  pipe.row_buffers = row_buffers;
  const std::uint32_t stage_bytes = pipe.teams * pipe.piece_tiles * kTileBytes;
  const std::uint32_t row_bytes = aligned(row_buffers * pipe.row_slots * pipe.row_stride);
  const std::uint32_t sum_bytes = kDecodeSumBuffers * pipe.num_compute_warps() * needs.columns * kSumBytes;
  const std::uint32_t num_barriers = 2 * kMaxDecodeStages + 2 * 2 + 2 * kDecodeSumBuffers * pipe.teams;
  const std::uint32_t other_bytes = row_bytes + sum_bytes + aligned(needs.result_bytes) + aligned(needs.chunk_bytes) +
                                    num_barriers * kBarrierBytes + kAlignment;
  if (needs.max_bytes < other_bytes + 2 * stage_bytes) return pipe;
  const std::uint32_t useful = std::max(2U, divided_up(needs.max_items, pipe.teams) * pipe.pieces);
  pipe.stages = std::min({(needs.max_bytes - other_bytes) / stage_bytes, useful, kMaxDecodeStages});

  pipe.rows_at = aligned(pipe.stages * stage_bytes);
  pipe.sums_at = pipe.rows_at + row_bytes;
  pipe.results_at = pipe.sums_at + sum_bytes;
  pipe.chunks_at = pipe.results_at + aligned(needs.result_bytes);
  pipe.barriers_at = pipe.chunks_at + aligned(needs.chunk_bytes);
  pipe.num_bytes = pipe.barriers_at + num_barriers * kBarrierBytes;
  return pipe;
}

// K in so many pieces that a stage has at most that many bytes.
DecodePipe with_stages_of(DecodePipe pipe, const DecodePipeNeeds& needs, std::uint32_t stage_bytes) {
  const std::uint32_t most_tiles = std::max(stage_bytes / (pipe.teams * kTileBytes), pipe.stripes);
  pipe.pieces = divided_up(needs.num_tiles, most_tiles);
  pipe.piece_tiles = divided_up(needs.num_tiles, pipe.pieces);
  pipe.pieces = divided_up(needs.num_tiles, pipe.piece_tiles);
  if (needs.rows_stay) return with_buffers(pipe, needs, 1);
  // Teams whose items are of different chunks would wait for one another: rows for weights, weights for rows.
  if (pipe.pieces > 1 && pipe.teams > 1) return pipe;
  const DecodePipe two = with_buffers(pipe, needs, 2);
  return two.stages != 0 ? two : with_buffers(pipe, needs, 1);
}

}  // namespace

DecodePipe make_decode_pipe(const DecodePipeNeeds& needs) {
  const Division division = division_of(needs.num_tiles);
  DecodePipe pipe;
  pipe.stripes = division.stripes;
  pipe.stripe_shift = static_cast<std::uint32_t>(std::countr_zero(division.stripes));
  pipe.teams = division.teams;
  // 16 bytes more than whole tiles: eight rows then lie in different banks.
  pipe.row_stride = needs.num_tiles * static_cast<std::uint32_t>(Fragment16x64::kCols) * 2 + 16;
  pipe.row_slots = needs.row_slots;
  pipe.rows_stay = needs.rows_stay;
  DecodePipe found;
  for (const std::uint32_t stage_bytes : kStageBytes) {
    found = with_stages_of(pipe, needs, stage_bytes);
    if (found.stages != 0 || needs.keeps_order) break;
  }
  return found;
}

}  // namespace nvfp4::kernels::cuda_sm90
