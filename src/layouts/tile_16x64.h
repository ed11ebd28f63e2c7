// Tiles of 16 rows x 64 columns of an NVFP4 matrix, codes and block scales together: the layout of the CPU kernels.
//
//   row groups of 16 rows one after the other; in each, tiles of 64 columns, 576 bytes:
//     [4 blocks][16 rows]          scales: one byte for a row's 16 columns, see encode_tile_scale()
//     [8 slices][16 rows][4 bytes] codes: 8 columns of a row, low nibble first, as in the row-major file
//
// Rows sit in vector lanes, so that a sum never crosses lanes, and a row group is one stream of memory. Rows and
// columns that are missing to whole tiles have scale 0 and code 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvfp4 {

struct Tile16x64 {
  static constexpr std::uint64_t kRows = 16;
  static constexpr std::uint64_t kCols = 64;
  static constexpr std::uint64_t kBlockCols = 16;  // columns of one scale
  static constexpr std::uint64_t kBlocks = kCols / kBlockCols;
  static constexpr std::uint64_t kSliceCols = 8;  // columns of one 4-byte word
  static constexpr std::uint64_t kCodesOffset = kBlocks * kRows;
  static constexpr std::uint64_t kBytes = kCodesOffset + kRows * kCols / 2;

  [[nodiscard]] static constexpr std::uint64_t num_row_groups(std::uint64_t rows) { return (rows + kRows - 1) / kRows; }
  [[nodiscard]] static constexpr std::uint64_t num_tiles(std::uint64_t cols) { return (cols + kCols - 1) / kCols; }
  // Of one matrix.
  [[nodiscard]] static constexpr std::uint64_t num_bytes(std::uint64_t rows, std::uint64_t cols) {
    return num_row_groups(rows) * num_tiles(cols) * kBytes;
  }
  // Where the scale of (row, col) lies.
  [[nodiscard]] static constexpr std::uint64_t scale_offset(std::uint64_t row, std::uint64_t col, std::uint64_t cols) {
    return tile_offset(row, col, cols) + col % kCols / kBlockCols * kRows + row % kRows;
  }
  // Where the code of (row, col) lies: in the low nibble for even columns.
  [[nodiscard]] static constexpr std::uint64_t code_offset(std::uint64_t row, std::uint64_t col, std::uint64_t cols) {
    return tile_offset(row, col, cols) + kCodesOffset + (col % kCols / kSliceCols * kRows + row % kRows) * 4 +
           col % kSliceCols / 2;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t tile_offset(std::uint64_t row, std::uint64_t col, std::uint64_t cols) {
    return (row / kRows * num_tiles(cols) + col / kCols) * kBytes;
  }
};

// A scale in a tile: an unsigned float with 5 exponent and 3 mantissa bits and no subnormals, so that shifting it by 20
// bits makes the FP32 number scale * kTileScaleUnit. Every E4M3 number from 0 to 448 has one: lossless.
inline constexpr float kTileScaleUnit = 0x1p-117F;
[[nodiscard]] constexpr std::uint8_t encode_tile_scale(std::uint8_t e4m3) {
  constexpr std::uint8_t kExponentShift = 3 << 3;  // E4M3's smallest subnormal is 2^-9, its smallest normal 2^-6
  if (e4m3 >= 8) return static_cast<std::uint8_t>(e4m3 + kExponentShift);
  constexpr std::uint64_t kSubnormals = 0x1E1C'1A18'1410'0800;  // byte i: of i; device code has no arrays in registers
  return static_cast<std::uint8_t>(kSubnormals >> e4m3 * 8U);
}
[[nodiscard]] constexpr std::uint8_t decode_tile_scale(std::uint8_t tile_scale) {
  for (std::uint8_t e4m3 = 0; e4m3 < 8; ++e4m3) {
    if (encode_tile_scale(e4m3) == tile_scale) return e4m3;
  }
  return static_cast<std::uint8_t>(tile_scale - (3 << 3));
}

// Row-major rows of one matrix into the tiles of one row group. codes [num_rows, cols / 2], scales [num_rows,
// cols / block_size] E4M3 from 0 to 448, block_size a multiple of 16, num_rows <= 16; out [num_tiles(cols) * kBytes].
void pack_row_group(const std::uint8_t* codes, const std::uint8_t* scales, std::uint64_t num_rows, std::uint64_t cols,
                    std::uint64_t block_size, std::uint8_t* out);

}  // namespace nvfp4
