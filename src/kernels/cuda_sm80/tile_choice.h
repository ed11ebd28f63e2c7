// Which shape of tiles, and how its blocks share the work, multiply a weight by many tokens in the least time.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace nvfp4::kernels::cuda_sm80 {

inline constexpr std::uint32_t kTileStepK = 64;  // numbers of K of a stage

// Nanoseconds of a step on a multiprocessor of an H200: of a block that is alone there, and of each of several.
struct StepTimes {
  double lone_ns = 0, shared_ns = 0;
};

// A block's work.
struct TileKind {
  std::uint32_t rows, tokens, threads;
  std::uint32_t registers;  // of a thread, about
  std::uint32_t stage_bytes, shared_bytes;
  StepTimes times;
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

// The steps of a span of tiles, one tile after the other, are split evenly among blocks. A span is a tile, or all.
struct TileChoice {
  std::uint32_t kind_idx = 0;
  std::uint32_t row_tiles = 0, token_tiles = 0;
  std::uint32_t steps = 0;       // of a tile
  std::uint32_t span_tiles = 1;  // or num_tiles()
  std::uint32_t num_splits = 1;  // of a span

  [[nodiscard]] constexpr std::uint32_t num_tiles() const { return row_tiles * token_tiles; }
  [[nodiscard]] constexpr std::uint32_t num_blocks() const { return num_tiles() / span_tiles * num_splits; }
  [[nodiscard]] constexpr std::uint32_t span_steps() const { return span_tiles * steps; }
  // Blocks have parts of tiles: one each, or in a span of several its first tile's and its last one's.
  [[nodiscard]] constexpr bool has_parts() const { return num_splits != span_tiles; }
  [[nodiscard]] constexpr std::uint32_t parts_per_block() const { return span_tiles == 1 ? 1 : 2; }
  [[nodiscard]] constexpr std::uint64_t part_floats(const TileKind& kind) const {
    return has_parts() ? std::uint64_t{num_blocks()} * parts_per_block() * kind.rows * kind.tokens : 0;
  }
};

// Of kinds that fit into shared memory; one does. num_tokens is above 0.
[[nodiscard]] TileChoice choose_tiles(const TileLayer& layer, std::span<const TileKind> kinds,
                                      std::uint32_t num_tokens);

// Shared memory of a block with which no multiprocessor runs more blocks than an even distribution gives it. Blocks of
// the next kernel may start early, and would crowd where this one leaves room.
[[nodiscard]] std::uint32_t even_shared_bytes(const TileLayer& layer, const TileKind& kind, const TileChoice& choice);

// Why a launch cannot have that many tokens, in words; empty when it can.
[[nodiscard]] std::string tiles_refusal(const TileLayer& layer, std::uint32_t max_tokens);

// The most that choose_tiles() asks for with up to max_tokens.
struct TileNeeds {
  std::uint32_t num_arrivals = 0;
  std::uint64_t part_floats = 0;
};
[[nodiscard]] TileNeeds tile_needs(const TileLayer& layer, std::span<const TileKind> kinds, std::uint32_t max_tokens);

}  // namespace nvfp4::kernels::cuda_sm80
