#include "layouts/fragment_16x64.h"

#include <cstring>

#include "layouts/tile_16x64.h"

namespace nvfp4 {
namespace {

using Fragment = Fragment16x64;

std::uint64_t load_words(const std::uint8_t* at) {
  std::uint64_t words = 0;
  std::memcpy(&words, at, sizeof(words));
  return words;
}

// One row of the file into row `row` of a group that is 0 so far.
void pack_row(const std::uint8_t* codes, const std::uint8_t* scales, std::uint64_t row, const FragmentShape& shape,
              std::uint8_t* out) {
  for (std::uint64_t col = 0; col < shape.cols; col += Fragment::kBlockCols) {
    const std::uint8_t scale = encode_tile_scale(scales[col / shape.block_size]);
    if (scale == 0) continue;
    out[Fragment::scale_offset(row, col)] = scale;
    for (std::uint64_t k = col; k < col + Fragment::kBlockCols; ++k) {
      const std::uint32_t code = codes[k / 2] >> k % 2 * 4 & 0xFU;
      std::uint8_t* const at = out + Fragment::words_offset(row, k);
      const std::uint64_t words = load_words(at) | place_fragment_code(code, Fragment::code_idx(row, k));
      std::memcpy(at, &words, sizeof(words));
    }
  }
}

void unpack_row(const std::uint8_t* in, std::uint64_t row, const FragmentShape& shape, std::uint8_t* codes,
                std::uint8_t* scales) {
  std::memset(codes, 0, shape.cols / 2);
  for (std::uint64_t k = 0; k < shape.cols; ++k) {
    const std::uint64_t words = load_words(in + Fragment::words_offset(row, k));
    const std::uint32_t code = take_fragment_code(words, Fragment::code_idx(row, k));
    codes[k / 2] = static_cast<std::uint8_t>(codes[k / 2] | code << k % 2 * 4);
  }
  for (std::uint64_t col = 0; col < shape.cols; col += shape.block_size) {
    scales[col / shape.block_size] = decode_tile_scale(in[Fragment::scale_offset(row, col)]);
  }
}

template <class Byte>
Byte* codes_of(const FragmentRows<Byte>& rows, std::uint64_t row, const FragmentShape& shape) {
  return rows.codes + row * (shape.cols / 2);
}
template <class Byte>
Byte* scales_of(const FragmentRows<Byte>& rows, std::uint64_t row, const FragmentShape& shape) {
  return rows.scales + row * (shape.cols / shape.block_size);
}

void pack_rows(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint64_t first_row,
               std::uint8_t* out) {
  for (std::uint64_t row = 0; row < shape.num_rows; ++row) {
    pack_row(codes_of(rows, row, shape), scales_of(rows, row, shape), first_row + row, shape, out);
  }
}

void unpack_rows(const std::uint8_t* in, const FragmentShape& shape, std::uint64_t first_row,
                 const FragmentRows<std::uint8_t>& rows) {
  for (std::uint64_t row = 0; row < shape.num_rows; ++row) {
    unpack_row(in, first_row + row, shape, codes_of(rows, row, shape), scales_of(rows, row, shape));
  }
}

}  // namespace

void pack_fragments(const FragmentRows<const std::uint8_t>& rows, const FragmentShape& shape, std::uint8_t* out) {
  std::memset(out, 0, Fragment::row_group_bytes(shape.cols));
  pack_rows(rows, shape, 0, out);
}

void pack_fragment_pair(const FragmentRows<const std::uint8_t>& first, const FragmentRows<const std::uint8_t>& second,
                        const FragmentShape& shape, std::uint8_t* out) {
  std::memset(out, 0, Fragment::row_group_bytes(shape.cols));
  pack_rows(first, shape, 0, out);
  pack_rows(second, shape, Fragment::kPairRows, out);
}

void unpack_fragments(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& rows) {
  unpack_rows(in, shape, 0, rows);
}

void unpack_fragment_pair(const std::uint8_t* in, const FragmentShape& shape, const FragmentRows<std::uint8_t>& first,
                          const FragmentRows<std::uint8_t>& second) {
  unpack_rows(in, shape, 0, first);
  unpack_rows(in, shape, Fragment::kPairRows, second);
}

}  // namespace nvfp4
