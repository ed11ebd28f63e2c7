// Which shape of tiles, and how many parts of K, multiply a weight by many tokens in the least time.
#pragma once

#include <cstdint>
#include <span>

namespace nvfp4::kernels::cuda_sm80 {

inline constexpr std::uint32_t kTileStepK = 64;  // numbers of K of a stage

// A block's work.
struct TileKind {
  std::uint32_t rows, tokens, threads;
  std::uint32_t registers;  // of a thread, about
  std::uint32_t stage_bytes, shared_bytes;
  double rate;  // products in a nanosecond on a multiprocessor of an H200 that is full of such blocks
};

struct TileLayer {
  std::uint32_t out_features = 0;
  std::uint32_t in_features = 0;
  double bytes_per_weight = 1;
  std::uint32_t num_sms = 0;
  std::uint32_t shared_bytes_per_block = 0;
  std::uint32_t shared_bytes_per_sm = 0;
  bool batch_invariant = false;  // K is not split: the order of sums is always the same
};

struct TileChoice {
  std::uint32_t kind_idx = 0;
  std::uint32_t row_tiles = 0, token_tiles = 0;
  std::uint32_t num_splits = 1;
  std::uint32_t steps_per_split = 0;

  [[nodiscard]] constexpr std::uint32_t num_tiles() const { return row_tiles * token_tiles; }
  // Of parts of K in float32.
  [[nodiscard]] constexpr std::uint64_t part_floats(const TileKind& kind) const {
    return num_splits == 1 ? 0 : std::uint64_t{num_tiles()} * num_splits * kind.rows * kind.tokens;
  }
};

// Of kinds that fit into shared memory; one does. num_tokens is above 0.
[[nodiscard]] TileChoice choose_tiles(const TileLayer& layer, std::span<const TileKind> kinds,
                                      std::uint32_t num_tokens);

// The most that choose_tiles() asks for with up to max_tokens.
struct TileNeeds {
  std::uint32_t num_arrivals = 0;
  std::uint64_t part_floats = 0;
};
[[nodiscard]] TileNeeds tile_needs(const TileLayer& layer, std::span<const TileKind> kinds, std::uint32_t max_tokens);

}  // namespace nvfp4::kernels::cuda_sm80
