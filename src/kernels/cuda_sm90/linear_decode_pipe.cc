#include "kernels/cuda_sm90/linear_decode_pipe.h"

#include <algorithm>

#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kTileBytes = Fragment16x64::kBytes;
constexpr std::uint32_t kAlignment = 128;
constexpr std::uint32_t kSumBytes = 32 * 16;  // of a warp, for 8 tokens
constexpr std::uint32_t kSumBuffers = 2;
constexpr std::uint32_t kBarrierBytes = 8;

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }
constexpr std::uint32_t aligned(std::uint32_t bytes) { return divided_up(bytes, kAlignment) * kAlignment; }

// Pieces of about the same size, at most way.piece_tiles.
std::uint32_t piece_tiles_of(const DecodeWay& way, std::uint32_t num_tiles) {
  const std::uint32_t longest = divided_up(num_tiles, way.split);
  return divided_up(longest, divided_up(longest, way.piece_tiles));
}

DecodePipe pipe_of(const DecodeWay& way, const DecodeNeeds& needs) {
  DecodePipe pipe;
  pipe.split = way.split;
  pipe.num_warps = way.num_warps;
  pipe.slots = way.slots;
  pipe.piece_tiles = piece_tiles_of(way, needs.num_tiles);
  pipe.blocks_per_sm = way.blocks_per_sm;
  // 16 bytes more than whole tiles: eight rows then lie in different banks.
  pipe.row_stride = needs.num_tiles * static_cast<std::uint32_t>(Fragment16x64::kCols) * 2 + 16;
  pipe.row_slots = needs.row_slots;
  pipe.row_buffers = needs.rows_stay ? 1 : way.row_buffers;
  pipe.rows_stay = needs.rows_stay;
  const std::uint32_t sum_bytes = way.split == 1 ? 0 : kSumBuffers * way.num_warps * needs.columns * kSumBytes;
  pipe.rows_at = aligned(way.num_warps * way.slots * pipe.piece_tiles * kTileBytes);
  pipe.sums_at = pipe.rows_at + aligned(pipe.row_buffers * pipe.row_slots * pipe.row_stride);
  pipe.results_at = pipe.sums_at + sum_bytes;
  pipe.chunks_at = pipe.results_at + aligned(needs.result_bytes);
  pipe.barriers_at = pipe.chunks_at + aligned(needs.chunk_bytes);
  pipe.num_bytes = pipe.barriers_at + (kRowBarriers + way.num_warps * way.slots + 1) * kBarrierBytes;
  return pipe;
}

}  // namespace

DecodePipe choose_decode_pipe(std::span<const DecodeWay> ways, const DecodeNeeds& needs, const DecodeMemory& memory) {
  for (const DecodeWay& way : ways) {
    const DecodePipe pipe = pipe_of(way, needs);
    if (pipe.num_bytes <= memory.block_bytes &&
        way.blocks_per_sm * (pipe.num_bytes + memory.reserve) <= memory.sm_bytes) {
      return pipe;
    }
  }
  return {};
}

}  // namespace nvfp4::kernels::cuda_sm90
