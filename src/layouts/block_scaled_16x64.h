// Tiles of 16 rows x 64 columns of an NVFP4 matrix in the order in which the block-scaled FP4 instruction takes them
// (mma m16n8k64, SM120): the layout of the kernels that multiply FP4 numbers as they are.
//
//   row groups of 16 rows one after the other; in each, tiles of 64 columns, 576 bytes:
//     [8 rows g][2: row g, row g + 8][4 blocks]  scales: E4M3 bytes as the file has them
//     [32 lanes][4 registers] 32 bits            codes, eight neighbouring columns each, lowest nibble first
//
// Lane 4 g + t holds columns 8t to 8t + 7 of row g (register 0) and of row g + 8 (1), and the same 32 columns further
// (2, 3): one load of 128 bits is its operand. Rows and columns that are missing to whole tiles have scale 0 and code
// 0.
//
// An interleaved pair of matrices (gate and up) has 8 rows of the first and the same 8 rows of the second in a row
// group, so that a lane's two rows are the two that are multiplied with one another.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/host_device.h"
#include "layouts/fragment_16x64.h"

namespace nvfp4 {

// Sizes are those of Fragment16x64.
struct BlockScaled16x64 : Fragment16x64 {
  // Within a row group, row below 16: where the scale of (row, col) lies, and its code.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t scale_offset(std::uint64_t row, std::uint64_t col) {
    return Fragment16x64::scale_offset(row, col);
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t code_offset(std::uint64_t row, std::uint64_t col) {
    const std::uint64_t lane = row % 8 * 4 + col % 32 / 8;
    const std::uint64_t word = row / 8 + col % kCols / 32 * 2;
    return col / kCols * kBytes + kCodesOffset + lane * 16 + word * 4 + col % 8 / 2;
  }
  // The low nibble is that of the even column.
  [[nodiscard]] NVFP4_HD static constexpr std::uint32_t code_shift(std::uint64_t col) {
    return static_cast<std::uint32_t>(col % 2 * 4);
  }
  // An element of a row group by the place of its code: the inverse.
  [[nodiscard]] NVFP4_HD static constexpr Position position_of_code(std::uint64_t code_offset, std::uint32_t shift) {
    const std::uint64_t in_codes = code_offset % kBytes - kCodesOffset;
    const std::uint64_t lane = in_codes / 16;
    const std::uint64_t word = in_codes / 4 % 4;
    return {lane / 4 + word % 2 * 8,
            code_offset / kBytes * kCols + word / 2 * 32 + lane % 4 * 8 + in_codes % 4 * 2 + shift / 4};
  }
};

// Into one row group, out [row_group_bytes(cols)], and back, byte for byte. Rows and shape as for pack_fragments().
void pack_block_scaled(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint8_t* out);
void pack_block_scaled_pair(const FragmentRows<const std::uint8_t>& first,
                            const FragmentRows<const std::uint8_t>& second, const FragmentShape& shape,
                            std::uint8_t* out);
void unpack_block_scaled(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& rows);
void unpack_block_scaled_pair(const std::uint8_t* in, const FragmentShape& shape,
                              const FragmentRows<std::uint8_t>& first, const FragmentRows<std::uint8_t>& second);

}  // namespace nvfp4
