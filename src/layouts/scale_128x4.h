// The 128x4 layout of block scales that block-scaled matrix instructions read: tiles of 128 rows x 4 columns, 512 bytes
// each, row-major; inside a tile, rows r, r + 32, r + 64, r + 96 stand beside each other.
//
//   tile byte = (row % 32) * 16 + ((row % 128) / 32) * 4 + column % 4
//   rows are padded to 128 and columns to 4; padding bytes are zero
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/host_device.h"

namespace nvfp4 {

struct Scale128x4 {
  static constexpr std::size_t kTileRows = 128;
  static constexpr std::size_t kTileCols = 4;
  static constexpr std::size_t kTileBytes = kTileRows * kTileCols;

  struct Position {
    std::size_t row = 0;
    std::size_t col = 0;
    friend constexpr bool operator==(const Position&, const Position&) = default;
  };

  std::size_t rows = 0;  // rows of the matrix
  std::size_t cols = 0;  // block scales per row: K / 16

  [[nodiscard]] NVFP4_HD constexpr std::size_t padded_rows() const {
    return (rows + kTileRows - 1) / kTileRows * kTileRows;
  }
  [[nodiscard]] NVFP4_HD constexpr std::size_t padded_cols() const {
    return (cols + kTileCols - 1) / kTileCols * kTileCols;
  }
  [[nodiscard]] NVFP4_HD constexpr std::size_t size_bytes() const { return padded_rows() * padded_cols(); }

  // Byte of a scale; row < padded_rows(), col < padded_cols().
  [[nodiscard]] NVFP4_HD constexpr std::size_t offset(std::size_t row, std::size_t col) const {
    const std::size_t tile = (row / kTileRows) * (padded_cols() / kTileCols) + col / kTileCols;
    return tile * kTileBytes + (row % 32) * 16 + ((row % kTileRows) / 32) * 4 + col % kTileCols;
  }

  // The inverse: which scale a byte holds; byte < size_bytes().
  [[nodiscard]] NVFP4_HD constexpr Position position(std::size_t byte) const {
    const std::size_t tiles_per_row = padded_cols() / kTileCols;
    const std::size_t tile = byte / kTileBytes;
    const std::size_t in_tile = byte % kTileBytes;
    return {(tile / tiles_per_row) * kTileRows + ((in_tile % 16) / 4) * 32 + in_tile / 16,
            (tile % tiles_per_row) * kTileCols + in_tile % 4};
  }

  [[nodiscard]] NVFP4_HD constexpr bool is_padding(Position p) const { return p.row >= rows || p.col >= cols; }

  // linear [rows, cols] row-major to swizzled [size_bytes()]; writes every byte, padding as zero.
  void swizzle(std::span<const std::uint8_t> linear, std::span<std::uint8_t> swizzled) const;
  // The inverse; padding is not read.
  void unswizzle(std::span<const std::uint8_t> swizzled, std::span<std::uint8_t> linear) const;
};

}  // namespace nvfp4
