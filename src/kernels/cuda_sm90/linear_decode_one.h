// How a block of the kernels for one token is divided: linear_decode_one.cuh.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kOneTokenWarps = 16;
inline constexpr std::uint32_t kOneTokenThreads = 32 * kOneTokenWarps;
inline constexpr std::uint32_t kOneTokenGroup = 8;  // turns of the teams, after which sums are added up

struct OneTokenPipe {
  std::uint32_t num_tiles = 0;    // of K
  std::uint32_t split_shift = 0;  // 2^ of it warps share an item
  std::uint32_t part_tiles = 0;   // of a warp, at most
  std::uint32_t slots = 0;        // of a warp; 0: there is no way
  std::uint32_t unit_shift = 0;   // 2^ of it items stay together
  // Units of a block; the first larger_blocks have one more.
  std::uint32_t block_units = 0;
  std::uint32_t larger_blocks = 0;
  // Bytes from the beginning of shared memory, where the slots are.
  std::uint32_t rows_at = 0;
  std::uint32_t sums_at = 0;
  std::uint32_t barriers_at = 0;
  std::uint32_t num_bytes = 0;

  static constexpr std::uint32_t kWarpsShift = 4;
  [[nodiscard]] constexpr std::uint32_t most_items() const {
    return (block_units + (larger_blocks == 0 ? 0 : 1)) << unit_shift;
  }
  [[nodiscard]] constexpr std::uint32_t split() const { return 1U << split_shift; }
  [[nodiscard]] constexpr std::uint32_t teams_shift() const { return kWarpsShift - split_shift; }
  [[nodiscard]] constexpr std::uint32_t teams() const { return 1U << teams_shift(); }
};

struct OneTokenNeeds {
  std::uint32_t num_tiles = 0;
  std::uint32_t num_items = 0;   // of all blocks
  std::uint32_t num_blocks = 0;  // among which they are divided
  std::uint32_t unit_shift = 0;  // 2^ of it items stay together in a block; num_items is a multiple of them
  bool rows_differ = false;      // each item has its own activations
  std::uint32_t min_turns = 1;   // where that takes no more time
  std::uint32_t max_slots = 0;   // kMaxCopyGroups where threads copy, else up to 32
  std::uint32_t max_bytes = 0;
};

[[nodiscard]] OneTokenPipe make_one_token_pipe(const OneTokenNeeds& needs);

}  // namespace nvfp4::kernels::cuda_sm90
