// How a block of the kernels for few tokens is divided among its warps and its shared memory.
//
// Its work is a list of items: 16 rows of a matrix and all of K, for up to 8 or 16 tokens. A stage holds one item for
// each team (or a part of K of each). `stripes` warps of a team multiply a part of the item's tiles each and hand their
// sums to the team's last warp, which adds them up in the order of the stripes and stores. One more warp, the last of
// the block, asks for the stages. No warp waits for the whole block.
//
// The order of a sum depends on K and piece_tiles alone: not on the tokens, the items of a block or the number of
// blocks.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kMaxDecodeTeams = 8;
inline constexpr std::uint32_t kDecodeSumBuffers = 2;  // of each team
inline constexpr std::uint32_t kMaxDecodeStages = 8;

struct DecodePipe {
  std::uint32_t stripes = 0;
  std::uint32_t stripe_shift = 0;  // stripes == 1 << stripe_shift
  std::uint32_t teams = 0;
  std::uint32_t pieces = 0;       // stages for all of K
  std::uint32_t piece_tiles = 0;  // the last piece may have fewer
  std::uint32_t stages = 0;
  std::uint32_t row_stride = 0;   // bytes of an activation row in shared memory
  std::uint32_t row_slots = 0;    // rows of a buffer
  std::uint32_t row_buffers = 0;  // 1 or 2
  bool rows_stay = false;         // all rows, in one buffer; else those of a chunk of tokens take turns
  // Bytes from the beginning of shared memory, where the stages are; then rows, sums, results, chunks, barriers.
  std::uint32_t rows_at = 0;
  std::uint32_t sums_at = 0;
  std::uint32_t results_at = 0;
  std::uint32_t chunks_at = 0;
  std::uint32_t barriers_at = 0;
  std::uint32_t num_bytes = 0;

  [[nodiscard]] constexpr std::uint32_t num_compute_warps() const { return stripes * teams; }
  [[nodiscard]] constexpr std::uint32_t num_threads() const { return 32 * (num_compute_warps() + teams + 1); }
};

struct DecodePipeNeeds {
  std::uint32_t num_tiles = 0;  // of K
  std::uint32_t columns = 1;    // tokens of an item, in eights
  std::uint32_t row_slots = 0;  // activation rows of a buffer
  bool rows_stay = false;
  bool keeps_order = false;  // of sums, whatever else is needed
  std::uint32_t result_bytes = 0;
  std::uint32_t chunk_bytes = 0;
  std::uint32_t max_items = 0;  // of a block: more stages than these fill are of no use
  std::uint32_t max_bytes = 0;  // of shared memory
};

// stages is 0 when two stages do not fit.
[[nodiscard]] DecodePipe make_decode_pipe(const DecodePipeNeeds& needs);

}  // namespace nvfp4::kernels::cuda_sm90
