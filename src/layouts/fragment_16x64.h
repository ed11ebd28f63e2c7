// Tiles of 16 rows x 64 columns of an NVFP4 matrix in the order in which a warp multiplies them: the layout of the
// GPU kernels. A tile is four A operands of mma m16n8k16 (wgmma takes its 64 rows as four such, warp by warp).
//
//   row groups of 16 rows one after the other; in each, tiles of 64 columns, 576 bytes:
//     [8 rows g][2: row g, row g + 8][4 blocks]  scales: one byte for a row's 16 columns, encode_tile_scale()
//     [32 lanes][2 pairs of blocks] 64 bits      codes, see fragment_code_bits()
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

// Where a code lies in the 64 bits of two neighbouring blocks, seen as two 32-bit words, an even block's and an odd
// one's. Code c = 8 block + 2 p + h, block 0 or 1, belongs to pair p:
//   p 0: row g, columns 2t + h    1: row g + 8, the same    2: row g, columns 2t + 8 + h    3: row g + 8, the same
// A pair becomes two BF16 numbers, 2^-126 * E2M1 each, by one shift and the mask 0x81C081C0. Of its block's word:
//   p 0: as it is    1: shifted up by 6    2: rotated down by 4
//   p 3: of m = even word's bits in 0x60306030, and else the odd word rotated up by 2
//        even block: m rotated down by 8    odd block: m shifted up by 2
struct FragmentCodeBits {
  std::uint8_t sign, exponent_high, exponent_low, mantissa;
};
// Of code h = 0 of a pair; h = 1: 16 more, in the same word, modulo 32. A function: device code cannot read a constexpr
// array of namespace scope.
[[nodiscard]] NVFP4_HD constexpr FragmentCodeBits fragment_code_bits(std::uint32_t pair, std::uint32_t block) {
  if (pair == 3)
    return block == 0 ? FragmentCodeBits{32 + 21, 32 + 14, 32 + 13, 14} : FragmentCodeBits{13, 32 + 4, 5, 4};
  const auto first = static_cast<std::uint8_t>(32 * block + (pair == 0 ? 6 : pair == 1 ? 0 : 10));
  return {static_cast<std::uint8_t>(first + 9), static_cast<std::uint8_t>(first + 2),
          static_cast<std::uint8_t>(first + 1), first};
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
  // Where the two words of its block and the neighbouring one lie, and which of their 16 codes (c above) it is.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t words_offset(std::uint64_t row, std::uint64_t col) {
    const std::uint64_t lane = row % 8 * 4 + col % 8 / 2;
    return col / kCols * kBytes + kCodesOffset + lane * 16 + col % kCols / (2 * kBlockCols) * 8;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint32_t code_idx(std::uint64_t row, std::uint64_t col) {
    return static_cast<std::uint32_t>(col / kBlockCols % 2 * 8 + (col % kBlockCols / 8 * 2 + row / 8) * 2 + col % 2);
  }
  // An element of a row group by its place: the inverse.
  struct Position {
    std::uint64_t row, col;
  };
  [[nodiscard]] NVFP4_HD static constexpr Position position(std::uint64_t words_offset, std::uint32_t code_idx) {
    const std::uint64_t in_codes = words_offset % kBytes - kCodesOffset;
    const std::uint64_t lane = in_codes / 16;
    const std::uint64_t block = in_codes / 8 % 2 * 2 + code_idx / 8;
    const std::uint64_t pair = code_idx % 8 / 2;
    return {lane / 4 + pair % 2 * 8,
            words_offset / kBytes * kCols + block * kBlockCols + pair / 2 * 8 + lane % 4 * 2 + code_idx % 2};
  }
};

// An E2M1 code as bits of two words, the even block's the low one, and back.
[[nodiscard]] NVFP4_HD constexpr std::uint32_t fragment_bit(std::uint8_t bit, std::uint32_t code_idx) {
  return (bit & 32U) | ((bit + code_idx % 2 * 16) & 31U);
}
[[nodiscard]] NVFP4_HD constexpr std::uint64_t place_fragment_code(std::uint64_t code, std::uint32_t code_idx) {
  const FragmentCodeBits bits = fragment_code_bits(code_idx % 8 / 2, code_idx / 8);
  return (code >> 3 & 1U) << fragment_bit(bits.sign, code_idx) |
         (code >> 2 & 1U) << fragment_bit(bits.exponent_high, code_idx) |
         (code >> 1 & 1U) << fragment_bit(bits.exponent_low, code_idx) |
         (code & 1U) << fragment_bit(bits.mantissa, code_idx);
}
[[nodiscard]] NVFP4_HD constexpr std::uint32_t take_fragment_code(std::uint64_t words, std::uint32_t code_idx) {
  const FragmentCodeBits bits = fragment_code_bits(code_idx % 8 / 2, code_idx / 8);
  return static_cast<std::uint32_t>((words >> fragment_bit(bits.sign, code_idx) & 1U) << 3 |
                                    (words >> fragment_bit(bits.exponent_high, code_idx) & 1U) << 2 |
                                    (words >> fragment_bit(bits.exponent_low, code_idx) & 1U) << 1 |
                                    (words >> fragment_bit(bits.mantissa, code_idx) & 1U));
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
