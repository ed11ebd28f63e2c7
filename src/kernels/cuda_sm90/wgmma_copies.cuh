// The threads that fill the ring of wgmma_ring.cuh: weights by bulk copies, activations row by row (a row is a token of
// a BF16 matrix [tokens, K], chosen by an index) or by bulk copies from an image that has the order of shared memory.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_sm90/wgmma_ring.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// The weights of one stage, by one thread; `more_bytes` are announced besides.
template <std::uint32_t kKind>
__device__ __forceinline__ void copy_weights(const WgmmaProblem& problem, const WgmmaTile& tile, std::uint32_t k_tile,
                                             const RingCursor<kKind>& ring, std::uint32_t more_bytes) {
  using Shape = WgmmaShape<kKind>;
  arrive_expecting(ring.full(), Shape::kWeightsBytes + more_bytes);
  const std::uint32_t x = k_tile * (kWeightTileBytes / 8);
  if constexpr (kKind <= 64) {  // most often all tokens are in one tile
    copy_box_once(ring.weights(), &problem.weights, x, tile.first_group, tile.expert, ring.full());
  } else {
    copy_box(ring.weights(), &problem.weights, x, tile.first_group, tile.expert, ring.full());
  }
}

// At most so many numbers has a matrix of which RowSource takes rows: where a row begins fits into 32 bits.
inline constexpr std::uint64_t kMaxRowNumbers = std::uint64_t{1} << 32;

// Rows of a BF16 matrix for sorted rows: the token of a pair, or the sorted row itself.
struct RowSource {
  static constexpr bool kByRow = true;

  const std::uint16_t* x = nullptr;           // [tokens, pairs or sorted rows, K]
  const std::int32_t* pair_of_row = nullptr;  // [sorted rows]: row pair / pairs_per_row of x; null: x has sorted rows
  std::uint32_t pairs_per_row = 1;
  [[nodiscard]] __device__ std::uint32_t row(std::uint32_t sorted_row) const {
    return pair_of_row == nullptr ? sorted_row : static_cast<std::uint32_t>(pair_of_row[sorted_row]) / pairs_per_row;
  }
};

// Where this thread's rows begin: see kMaxRowNumbers. Four loads are under way together.
template <std::uint32_t kRowsAtOnce, std::size_t kSteps>
__device__ __forceinline__ void find_rows(const RowSource& source, const WgmmaTile& tile, std::uint32_t first,
                                          std::uint32_t row_size, std::uint32_t (&rows)[kSteps]) {
  constexpr std::uint32_t kAtOnce = kSteps < 4 ? kSteps : 4;
#pragma unroll
  for (std::uint32_t begin = 0; begin < kSteps; begin += kAtOnce) {
    std::uint32_t found[kAtOnce];
#pragma unroll
    for (std::uint32_t i = 0; i < kAtOnce; ++i) {
      found[i] = tile.first_row + min((begin + i) * kRowsAtOnce + first, tile.num_valid - 1);
      if (source.pair_of_row != nullptr) found[i] = static_cast<std::uint32_t>(source.pair_of_row[found[i]]);
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kAtOnce; ++i) {
      if (source.pair_of_row != nullptr) found[i] /= source.pairs_per_row;
      rows[begin + i] = found[i] * row_size;
    }
  }
}

// One piece of each of this thread's rows, kRowsAtOnce columns apart, as far as there are columns, at most kCount.
// rows: where they begin, from `from` on.
template <std::uint32_t kCount, std::uint32_t kRowsAtOnce, std::size_t kSteps>
__device__ __forceinline__ void copy_pieces(const std::uint16_t* from, const std::uint32_t (&rows)[kSteps],
                                            std::uint32_t to, std::uint32_t num_bytes, std::uint32_t num_columns) {
  if constexpr (kCount > 1) {
    if (num_columns <= (kCount - 1) * kRowsAtOnce) {
      copy_pieces<kCount - 1, kRowsAtOnce>(from, rows, to, num_bytes, num_columns);
      return;
    }
  }
#pragma unroll
  for (std::uint32_t step = 0; step < kCount; ++step) {
    copy_16_bytes(to + step * kRowsAtOnce * kColumnBytes, from, rows[step], num_bytes);
  }
}

// Activations [rows][K] whose row for a sorted row is found by source.row(sorted_row). By all copying threads.
template <std::uint32_t kKind>
__device__ __forceinline__ void produce_rows(const WgmmaProblem& problem, TileMap& map, const RowSource& source,
                                             RingCursor<kKind> ring) {
  using Shape = WgmmaShape<kKind>;
  constexpr std::uint32_t kRowsAtOnce = kCopyThreads / 8;
  constexpr std::uint32_t kSteps = WgmmaShape<kKind>::kMaxColumns / kRowsAtOnce;
  const std::uint32_t thread = threadIdx.x;
  const std::uint32_t piece = thread % 8;
  const std::uint32_t first = thread / 8;  // row of the first step
  const std::uint32_t to = first * kColumnBytes + (piece ^ first % 8) * 16;
  std::uint32_t slot = 0;
  for (TileRange range(problem, map, Shape::kStageTiles); !range.done(); range.advance()) {
    const WgmmaTile tile = map.find(problem, range.tile_idx);
    std::uint32_t rows[kSteps];
    find_rows<kRowsAtOnce>(source, tile, first, problem.in_features, rows);
    for (std::uint32_t k_tile = 0; k_tile < problem.k_tiles; k_tile += Shape::kStageTiles) {
      ring.wait_empty();
      if (thread == 0) {
        if (k_tile == 0) map.tiles[slot++ % kTileSlots] = tile;
        copy_weights(problem, tile, k_tile, ring, 0);
      }
      const std::uint32_t column_of_k = k_tile * 64 + piece * 8;
      const std::uint32_t address = ring.columns() + to;
      const std::uint16_t* const from = source.x + column_of_k;
      copy_pieces<kSteps, kRowsAtOnce>(from, rows, address, column_of_k < problem.in_features ? 16 : 0,
                                       tile.num_columns);
      if (Shape::kStageTiles > 1 && k_tile + 1 < problem.k_tiles) {
        copy_pieces<kSteps, kRowsAtOnce>(from + 64, rows, address + Shape::kColumnsBytes,
                                         column_of_k + 64 < problem.in_features ? 16 : 0, tile.num_columns);
      }
      arrive_when_copied(ring.full());
      ring.advance();
    }
  }
}

// Goes through the stages of all tiles of a block.
template <std::uint32_t kKind>
struct StageWalk {
  static constexpr std::uint32_t kStageTiles = WgmmaShape<kKind>::kStageTiles;

  const WgmmaProblem& problem;
  TileMap& map;
  TileRange range;
  std::uint32_t k_tile;
  std::uint32_t slot = 0;
  WgmmaTile tile = {};

  __device__ StageWalk(const WgmmaProblem& what, TileMap& tiles)
      : problem(what), map(tiles), range(what, tiles, kStageTiles), k_tile(range.k.begin) {
    if (!done()) tile = map.find(problem, range.tile_idx);
  }
  [[nodiscard]] __device__ bool done() const { return range.done(); }
  __device__ void advance() {
    k_tile += kStageTiles;
    if (k_tile < range.k.end) return;
    k_tile = range.k.begin;
    range.advance();
    if (!done()) tile = map.find(problem, range.tile_idx);
  }
  __device__ void publish() {
    if (k_tile == range.k.begin) map.tiles[slot++ % kTileSlots] = tile;
  }
  [[nodiscard]] __device__ std::uint32_t num_k_tiles() const { return min(kStageTiles, range.k.end - k_tile); }
};

// Activations as an image [k_tiles][num_rows][128 bytes] in the order of shared memory.
struct ColumnImage {
  static constexpr bool kByRow = false;

  const std::uint8_t* data = nullptr;
  std::uint64_t num_rows = 0;  // num_image_rows() or more

  template <std::uint32_t kKind>
  [[nodiscard]] __device__ __forceinline__ std::uint32_t num_bytes(const StageWalk<kKind>& walk) const {
    return walk.num_k_tiles() * walk.tile.num_columns * kColumnBytes;
  }
  template <std::uint32_t kKind>
  __device__ __forceinline__ void copy(const StageWalk<kKind>& walk, const RingCursor<kKind>& ring) const {
    const std::uint8_t* from = data + (walk.k_tile * num_rows + walk.tile.image_row) * kColumnBytes;
    const std::uint32_t num_bytes = walk.tile.num_columns * kColumnBytes;
    copy_bulk(ring.columns(), from, num_bytes, ring.full());
    if (walk.num_k_tiles() > 1) {
      copy_bulk(ring.columns() + WgmmaShape<kKind>::kColumnsBytes, from + num_rows * kColumnBytes, num_bytes,
                ring.full());
    }
  }
};

// Activations as a BF16 matrix [rows][K] whose rows are those of the sorted rows; what is missing reads as zeros.
struct ColumnMatrix {
  static constexpr bool kByRow = false;

  CUtensorMap map;             // boxes [box_rows][64], swizzled
  std::uint32_t box_rows = 0;  // those of a tile

  template <std::uint32_t kKind>
  [[nodiscard]] __device__ __forceinline__ std::uint32_t num_bytes(const StageWalk<kKind>& walk) const {
    return walk.num_k_tiles() * box_rows * kColumnBytes;
  }
  template <std::uint32_t kKind>
  __device__ __forceinline__ void copy(const StageWalk<kKind>& walk, const RingCursor<kKind>& ring) const {
    copy_box(ring.columns(), &map, walk.k_tile * 64, walk.tile.first_row, ring.full());
    if (walk.num_k_tiles() > 1) {
      copy_box(ring.columns() + WgmmaShape<kKind>::kColumnsBytes, &map, (walk.k_tile + 1) * 64, walk.tile.first_row,
               ring.full());
    }
  }
};

// By one thread. The weights of the first stages are under way before earlier kernels have ended.
template <std::uint32_t kKind, class Columns>
__device__ __forceinline__ void produce_columns(const WgmmaProblem& problem, TileMap& map, const Columns& columns,
                                                RingCursor<kKind> ring) {
  RingCursor<kKind> ahead = ring;
  StageWalk<kKind> walk(problem, map);
  StageWalk<kKind> early = walk;
  std::uint32_t num_early = 0;
  for (; num_early < WgmmaShape<kKind>::kStages && !early.done(); ++num_early) {
    early.publish();
    copy_weights(problem, early.tile, early.k_tile, ahead, columns.num_bytes(early));
    ahead.advance();
    early.advance();
  }
  walk.slot = early.slot;
  wait_for_earlier_kernels();
  for (; num_early > 0; --num_early) {
    columns.copy(walk, ring);
    ring.advance();
    walk.advance();
  }
  for (; !walk.done(); walk.advance()) {
    ring.wait_empty();
    walk.publish();
    copy_weights(problem, walk.tile, walk.k_tile, ring, columns.num_bytes(walk));
    columns.copy(walk, ring);
    ring.advance();
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
