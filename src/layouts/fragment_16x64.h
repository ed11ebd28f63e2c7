// Tiles of 16 rows x 64 columns of an NVFP4 matrix in the order in which a warp multiplies them: the layout of the
// GPU kernels. A tile is four A operands of mma m16n8k16 (wgmma takes its 64 rows as four such, warp by warp).
//
//   row groups of 16 rows one after the other; in each, tiles of 64 columns, 576 bytes:
//     [8 rows g][2: row g, row g + 8][4 blocks]  scales: one byte for a row's 16 columns, encode_tile_scale()
//     [32 lanes][4 blocks] 32-bit words          codes, see fragment_code_bits()
//
// Lane 4 g + t of a warp holds, of each block, rows g and g + 8, columns 2t, 2t + 1, 2t + 8 and 2t + 9. Rows and
// columns that are missing to whole tiles have scale 0 and code 0, and so have the codes of a block whose scale is 0: a
// kernel need not look whether a scale is 0.
//
// An interleaved pair of matrices (gate and up) has 8 rows of the first and the same 8 rows of the second in a row
// group, so that a lane's two rows are the two that are multiplied with one another.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/host_device.h"

namespace nvfp4 {

// The bits of a word, code by code: sign, exponent high, exponent low, mantissa. Code c = 2 p + h belongs to pair p:
//   p 0: row g, columns 2t + h    1: row g + 8, the same    2: row g, columns 2t + 8 + h    3: row g + 8, the same
// so that pairs 0, 1, 2 are (word << 0, 3, 6) & 0x81C081C0 as two BF16 numbers, 2^-126 * E2M1 each.
struct FragmentCodeBits {
  std::uint8_t sign, exponent_high, exponent_low, mantissa;
};
// Of code h = 0 of a pair; h = 1: 16 more. A function: device code cannot read a constexpr array of namespace scope.
[[nodiscard]] NVFP4_HD constexpr FragmentCodeBits fragment_code_bits(std::uint32_t pair) {
  if (pair == 3) return {14, 11, 10, 13};
  const auto down = static_cast<std::uint8_t>(3 * pair);
  return {static_cast<std::uint8_t>(15 - down), static_cast<std::uint8_t>(8 - down),
          static_cast<std::uint8_t>(7 - down), static_cast<std::uint8_t>(6 - down)};
}

struct Fragment16x64 {
  static constexpr std::uint64_t kRows = 16;
  static constexpr std::uint64_t kPairRows = 8;  // of each matrix of an interleaved pair
  static constexpr std::uint64_t kCols = 64;
  static constexpr std::uint64_t kBlockCols = 16;
  static constexpr std::uint64_t kBlocks = kCols / kBlockCols;
  static constexpr std::uint64_t kCodesOffset = kRows * kBlocks;
  static constexpr std::uint64_t kBytes = kCodesOffset + kRows * kCols / 2;

  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_row_groups(std::uint64_t rows) {
    return (rows + kRows - 1) / kRows;
  }
  // Of an interleaved pair of matrices that have so many rows each.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_pair_row_groups(std::uint64_t rows) {
    return (rows + kPairRows - 1) / kPairRows;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_tiles(std::uint64_t cols) {
    return (cols + kCols - 1) / kCols;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t row_group_bytes(std::uint64_t cols) {
    return num_tiles(cols) * kBytes;
  }
  // Of one matrix, and of a pair with so many rows each.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_bytes(std::uint64_t rows, std::uint64_t cols) {
    return num_row_groups(rows) * row_group_bytes(cols);
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_pair_bytes(std::uint64_t rows, std::uint64_t cols) {
    return num_pair_row_groups(rows) * row_group_bytes(cols);
  }

  // Within a row group: where the scale of (row, col) lies, row below 16.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t scale_offset(std::uint64_t row, std::uint64_t col) {
    return col / kCols * kBytes + row % 8 * 8 + row / 8 * 4 + col % kCols / kBlockCols;
  }
  // Where the word of its code lies, which of the word's eight codes (c above) it is, and that code's bits.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t word_offset(std::uint64_t row, std::uint64_t col) {
    const std::uint64_t lane = row % 8 * 4 + col % 8 / 2;
    return col / kCols * kBytes + kCodesOffset + lane * 16 + col % kCols / kBlockCols * 4;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint32_t code_idx(std::uint64_t row, std::uint64_t col) {
    return static_cast<std::uint32_t>((col % kBlockCols / 8 * 2 + row / 8) * 2 + col % 2);
  }
  // An element of a row group by its place: the inverse.
  struct Position {
    std::uint64_t row, col;
  };
  [[nodiscard]] NVFP4_HD static constexpr Position position(std::uint64_t word_offset, std::uint32_t code_idx) {
    const std::uint64_t in_codes = word_offset % kBytes - kCodesOffset;
    const std::uint64_t lane = in_codes / 16;
    const std::uint64_t block = in_codes / 4 % kBlocks;
    const std::uint64_t pair = code_idx / 2;
    return {lane / 4 + pair % 2 * 8,
            word_offset / kBytes * kCols + block * kBlockCols + pair / 2 * 8 + lane % 4 * 2 + code_idx % 2};
  }
};

// An E2M1 code as bits of its word, and back.
[[nodiscard]] NVFP4_HD constexpr std::uint32_t place_fragment_code(std::uint32_t code, std::uint32_t code_idx) {
  const FragmentCodeBits bits = fragment_code_bits(code_idx / 2);
  const std::uint32_t low = (code >> 3 & 1U) << bits.sign | (code >> 2 & 1U) << bits.exponent_high |
                            (code >> 1 & 1U) << bits.exponent_low | (code & 1U) << bits.mantissa;
  return low << code_idx % 2 * 16;
}
[[nodiscard]] NVFP4_HD constexpr std::uint32_t take_fragment_code(std::uint32_t word, std::uint32_t code_idx) {
  const FragmentCodeBits bits = fragment_code_bits(code_idx / 2);
  const std::uint32_t low = word >> code_idx % 2 * 16;
  return (low >> bits.sign & 1U) << 3 | (low >> bits.exponent_high & 1U) << 2 | (low >> bits.exponent_low & 1U) << 1 |
         (low >> bits.mantissa & 1U);
}

// The same rows of one matrix, or of both of a pair, as the file has them: codes [rows, cols / 2], scales [rows,
// cols / block_size] E4M3 from 0 to 448, cols and block_size multiples of 16.
template <class Byte>
struct FragmentRows {
  Byte* codes = nullptr;
  Byte* scales = nullptr;
};
struct FragmentShape {
  std::uint64_t num_rows = 0;  // at most 16 of one matrix, at most 8 of each of a pair
  std::uint64_t cols = 0;
  std::uint64_t block_size = 16;
};

// Into one row group, out [row_group_bytes(cols)].
void pack_fragments(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint8_t* out);
void pack_fragment_pair(const FragmentRows<const std::uint8_t>& first, const FragmentRows<const std::uint8_t>& second,
                        const FragmentShape& shape, std::uint8_t* out);
// And back, byte for byte but for the codes of blocks whose scale is 0: they are 0.
void unpack_fragments(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& rows);
void unpack_fragment_pair(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& first,
                          const FragmentRows<std::uint8_t>& second);

}  // namespace nvfp4
