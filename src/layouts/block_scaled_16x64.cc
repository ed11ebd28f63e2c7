#include "layouts/block_scaled_16x64.h"

#include <cstring>

namespace nvfp4 {
namespace {

using Layout = BlockScaled16x64;

constexpr std::uint64_t kWordCols = 8;  // that lie together

template <class Byte>
FragmentRows<Byte> row_of(const FragmentRows<Byte>& rows, std::uint64_t row, const FragmentShape& shape) {
  return {rows.codes + row * (shape.cols / 2), rows.scales + row * (shape.cols / shape.block_size)};
}

// Rows of the file into rows first_row and on of a group that is 0 so far.
void pack_rows(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint64_t first_row,
               std::uint8_t* out) {
  for (std::uint64_t row = 0; row < shape.num_rows; ++row) {
    const FragmentRows<const std::uint8_t> from = row_of(rows, row, shape);
    for (std::uint64_t col = 0; col < shape.cols; col += kWordCols) {
      std::memcpy(out + Layout::code_offset(first_row + row, col), from.codes + col / 2, kWordCols / 2);
    }
    for (std::uint64_t col = 0; col < shape.cols; col += Layout::kBlockCols) {
      out[Layout::scale_offset(first_row + row, col)] = from.scales[col / shape.block_size];
    }
  }
}

void unpack_rows(const std::uint8_t* in, const FragmentShape& shape, std::uint64_t first_row,
                 const FragmentRows<std::uint8_t>& rows) {
  for (std::uint64_t row = 0; row < shape.num_rows; ++row) {
    const FragmentRows<std::uint8_t> to = row_of(rows, row, shape);
    for (std::uint64_t col = 0; col < shape.cols; col += kWordCols) {
      std::memcpy(to.codes + col / 2, in + Layout::code_offset(first_row + row, col), kWordCols / 2);
    }
    for (std::uint64_t col = 0; col < shape.cols; col += shape.block_size) {
      to.scales[col / shape.block_size] = in[Layout::scale_offset(first_row + row, col)];
    }
  }
}

}  // namespace

void pack_block_scaled(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint8_t* out) {
  std::memset(out, 0, Layout::row_group_bytes(shape.cols));
  pack_rows(rows, shape, 0, out);
}

void pack_block_scaled_pair(const FragmentRows<const std::uint8_t>& first,
                            const FragmentRows<const std::uint8_t>& second, const FragmentShape& shape,
                            std::uint8_t* out) {
  std::memset(out, 0, Layout::row_group_bytes(shape.cols));
  pack_rows(first, shape, 0, out);
  pack_rows(second, shape, Layout::kPairRows, out);
}

void unpack_block_scaled(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& rows) {
  unpack_rows(in, shape, 0, rows);
}

void unpack_block_scaled_pair(const std::uint8_t* in, const FragmentShape& shape,
                              const FragmentRows<std::uint8_t>& first, const FragmentRows<std::uint8_t>& second) {
  unpack_rows(in, shape, 0, first);
  unpack_rows(in, shape, Layout::kPairRows, second);
}

}  // namespace nvfp4
