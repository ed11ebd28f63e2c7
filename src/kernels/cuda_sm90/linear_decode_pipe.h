// How a block of the kernels for few tokens is divided among its warps and its shared memory.
//
// Its work is a list of items: 16 rows of a matrix and all of K, for up to 8 or 16 tokens. `split` warps share an item,
// each with a part of K, which comes in pieces: while a warp multiplies one of them, the copies of the next are under
// way into the warp's other slots.
#pragma once

#include <cstdint>
#include <span>

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kMaxDecodeThreads = 512;
inline constexpr std::uint32_t kRowBarriers = 4;  // of two buffers: rows are there, all have left them

struct DecodePipe {
  std::uint32_t split = 0;
  std::uint32_t num_warps = 0;
  std::uint32_t slots = 0;  // 0: there is no way
  std::uint32_t piece_tiles = 0;
  std::uint32_t blocks_per_sm = 0;
  std::uint32_t row_stride = 0;   // bytes of an activation row in shared memory
  std::uint32_t row_slots = 0;    // rows of a buffer
  std::uint32_t row_buffers = 0;  // 1 or 2
  bool rows_stay = false;         // all rows, in one buffer; else those of a chunk of tokens take turns
  // Bytes from the beginning of shared memory, where the slots are; then rows, sums, results, chunks, barriers.
  std::uint32_t rows_at = 0;
  std::uint32_t sums_at = 0;
  std::uint32_t results_at = 0;
  std::uint32_t chunks_at = 0;
  std::uint32_t barriers_at = 0;
  std::uint32_t num_bytes = 0;

  [[nodiscard]] constexpr std::uint32_t num_threads() const { return 32 * num_warps; }
};

struct DecodeNeeds {
  std::uint32_t num_tiles = 0;  // of K
  std::uint32_t columns = 1;    // tokens of an item, in eights
  std::uint32_t row_slots = 0;  // activation rows of a buffer
  bool rows_stay = false;
  std::uint32_t result_bytes = 0;
  std::uint32_t chunk_bytes = 0;
};

// One way to divide a block: pieces have at most piece_tiles.
struct DecodeWay {
  std::uint32_t split, num_warps, slots, piece_tiles, row_buffers, blocks_per_sm;
};

// Shared memory of a multiprocessor; each block takes `reserve` besides its own.
struct DecodeMemory {
  std::uint32_t block_bytes = 0;
  std::uint32_t sm_bytes = 0;
  std::uint32_t reserve = 1024;
};

// The first of the ways that fits.
[[nodiscard]] DecodePipe choose_decode_pipe(std::span<const DecodeWay> ways, const DecodeNeeds& needs,
                                            const DecodeMemory& memory);

}  // namespace nvfp4::kernels::cuda_sm90
