#include "layouts/tile_16x64.h"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nvfp4 {
namespace {

constexpr std::array<std::uint8_t, 256> make_tile_scales() {
  std::array<std::uint8_t, 256> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = encode_tile_scale(static_cast<std::uint8_t>(i));
  return out;
}
constexpr std::array<std::uint8_t, 256> kTileScales = make_tile_scales();

using Tile = Tile16x64;

struct RowGroup {
  const std::uint8_t* codes;
  const std::uint8_t* scales;
  std::uint64_t row_bytes;  // of codes
  std::uint64_t row_scales;
  std::uint64_t block_size;
};

// A tile of which rows or columns may be missing, or with scales of more than 16 columns.
void pack_any_tile(const RowGroup& group, std::uint64_t num_rows, std::uint64_t col, std::uint64_t num_cols,
                   std::uint8_t* out) {
  std::memset(out, 0, Tile::kBytes);
  for (std::uint64_t row = 0; row < num_rows; ++row) {
    const std::uint8_t* const codes = group.codes + row * group.row_bytes + col / 2;
    for (std::uint64_t slice = 0; slice < num_cols / Tile::kSliceCols; ++slice) {
      std::memcpy(out + Tile::kCodesOffset + (slice * Tile::kRows + row) * 4, codes + slice * 4, 4);
    }
    const std::uint8_t* const scales = group.scales + row * group.row_scales;
    for (std::uint64_t block = 0; block < num_cols / Tile::kBlockCols; ++block) {
      out[block * Tile::kRows + row] = kTileScales[scales[(col + block * Tile::kBlockCols) / group.block_size]];
    }
  }
}

#if defined(__SSE2__)

// Four rows of four 32-bit words become four columns, `stride` bytes apart.
void transpose_words(const std::uint8_t* in, std::uint64_t row_bytes, std::uint8_t* out, std::uint64_t stride) {
  const auto load = [&](std::uint64_t row) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + row * row_bytes));
  };
  const auto store = [&](std::uint64_t column, __m128i words) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + column * stride), words);
  };
  const __m128i a = _mm_unpacklo_epi32(load(0), load(1));
  const __m128i b = _mm_unpacklo_epi32(load(2), load(3));
  const __m128i c = _mm_unpackhi_epi32(load(0), load(1));
  const __m128i d = _mm_unpackhi_epi32(load(2), load(3));
  store(0, _mm_unpacklo_epi64(a, b));
  store(1, _mm_unpackhi_epi64(a, b));
  store(2, _mm_unpacklo_epi64(c, d));
  store(3, _mm_unpackhi_epi64(c, d));
}

// Four scales of each of 16 rows, which become four rows of 16.
void pack_scales(const std::uint8_t* scales, std::uint64_t row_scales, std::uint8_t* out) {
  std::array<std::uint32_t, 16> words;
  for (std::uint64_t row = 0; row < 16; ++row) std::memcpy(&words[row], scales + row * row_scales, 4);
  __m128i columns[4];
  std::memcpy(columns, words.data(), sizeof(columns));
  // Four rounds of interleaving the first half with the second rotate a byte's place by half of it: rows to columns.
  for (int round = 0; round < 4; ++round) {
    const __m128i x0 = _mm_unpacklo_epi8(columns[0], columns[2]);
    const __m128i x1 = _mm_unpackhi_epi8(columns[0], columns[2]);
    const __m128i x2 = _mm_unpacklo_epi8(columns[1], columns[3]);
    const __m128i x3 = _mm_unpackhi_epi8(columns[1], columns[3]);
    columns[0] = x0, columns[1] = x1, columns[2] = x2, columns[3] = x3;
  }
  const __m128i first_normal = _mm_set1_epi8(8);
  const __m128i exponent_shift = _mm_set1_epi8(3 << 3);
  for (int block = 0; block < 4; ++block) {
    const __m128i e4m3 = columns[block];
    const __m128i is_normal = _mm_cmpeq_epi8(_mm_max_epu8(e4m3, first_normal), e4m3);
    const __m128i is_zero = _mm_cmpeq_epi8(e4m3, _mm_setzero_si128());
    const auto at = reinterpret_cast<__m128i*>(out + block * Tile::kRows);
    _mm_storeu_si128(at, _mm_add_epi8(e4m3, _mm_and_si128(is_normal, exponent_shift)));
    if (_mm_movemask_epi8(_mm_or_si128(is_normal, is_zero)) == 0xFFFF) continue;
    for (std::uint64_t row = 0; row < 16; ++row) {
      out[block * Tile::kRows + row] = kTileScales[scales[row * row_scales + static_cast<std::uint64_t>(block)]];
    }
  }
}

void pack_whole_tile(const RowGroup& group, std::uint64_t col, std::uint8_t* out) {
  pack_scales(group.scales + col / Tile::kBlockCols, group.row_scales, out);
  const std::uint8_t* const codes = group.codes + col / 2;
  constexpr std::uint64_t kSliceBytes = Tile::kRows * 4;
  for (std::uint64_t row = 0; row < Tile::kRows; row += 4) {
    std::uint8_t* const to = out + Tile::kCodesOffset + row * 4;
    transpose_words(codes + row * group.row_bytes, group.row_bytes, to, kSliceBytes);
    transpose_words(codes + row * group.row_bytes + 16, group.row_bytes, to + 4 * kSliceBytes, kSliceBytes);
  }
}

#else

void pack_whole_tile(const RowGroup& group, std::uint64_t col, std::uint8_t* out) {
  pack_any_tile(group, Tile::kRows, col, Tile::kCols, out);
}

#endif

}  // namespace

void pack_row_group(const std::uint8_t* codes, const std::uint8_t* scales, std::uint64_t num_rows, std::uint64_t cols,
                    std::uint64_t block_size, std::uint8_t* out) {
  const RowGroup group{codes, scales, cols / 2, cols / block_size, block_size};
  for (std::uint64_t col = 0; col < cols; col += Tile::kCols, out += Tile::kBytes) {
    const std::uint64_t num_cols = std::min(Tile::kCols, cols - col);
    if (num_rows == Tile::kRows && num_cols == Tile::kCols && block_size == Tile::kBlockCols) {
      pack_whole_tile(group, col, out);
    } else {
      pack_any_tile(group, num_rows, col, num_cols, out);
    }
  }
}

}  // namespace nvfp4
