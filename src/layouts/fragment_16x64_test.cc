#include "layouts/fragment_16x64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "layouts/tile_16x64.h"

namespace nvfp4 {
namespace {

using Fragment = Fragment16x64;

// What a lane does with the words of two blocks: eight registers of two BF16 numbers, low half first.
std::array<std::uint32_t, 8> decode_words(std::uint64_t words) {
  constexpr std::uint32_t kMask = 0x81C081C0U;
  constexpr std::uint32_t kOfEven = 0x60306030U;
  const auto even = static_cast<std::uint32_t>(words);
  const auto odd = static_cast<std::uint32_t>(words >> 32U);
  const std::uint32_t last = (even & kOfEven) | (std::rotl(odd, 2) & ~kOfEven);
  return {even & kMask, even << 6 & kMask, std::rotr(even, 4) & kMask, std::rotr(last, 8) & kMask,
          odd & kMask,  odd << 6 & kMask,  std::rotr(odd, 4) & kMask,  last << 2 & kMask};
}

float half_of(std::uint32_t pair, std::uint32_t half) {
  return decode_bf16(static_cast<std::uint16_t>(pair >> half * 16));
}

TEST(FragmentWords, EveryCodeDecodesByMasksAlone) {
  for (std::uint32_t code_idx = 0; code_idx < 16; ++code_idx) {
    for (std::uint32_t code = 0; code < 16; ++code) {
      for (const std::uint64_t others : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        const std::uint64_t own = place_fragment_code(15, code_idx);
        const std::uint64_t words = (others & ~own) | place_fragment_code(code, code_idx);
        EXPECT_EQ(take_fragment_code(words, code_idx), code);
        const float value = half_of(decode_words(words)[code_idx / 2], code_idx % 2);
        const float expected = decode_e2m1(static_cast<std::uint8_t>(code)) * 0x1p-126F;
        EXPECT_EQ(value, expected) << code_idx << ", " << code;
        EXPECT_EQ(std::signbit(value), code >= 8) << code_idx << ", " << code;
      }
    }
  }
}

TEST(FragmentWords, CodesShareNoBitAndFillTheWords) {
  std::uint64_t seen = 0;
  for (std::uint32_t code_idx = 0; code_idx < 16; ++code_idx) {
    EXPECT_EQ(seen & place_fragment_code(15, code_idx), 0U);
    seen |= place_fragment_code(15, code_idx);
  }
  EXPECT_EQ(seen, ~std::uint64_t{0});
}

// The scale as one BF16 number: byte << 4 plus a power of two, exact for every E4M3 number above 0.
TEST(FragmentScale, IsABf16NumberAfterAShiftAndAnAddition) {
  constexpr std::uint32_t kPower = 235;
  for (std::uint32_t e4m3 = 1; e4m3 <= 0x7E; ++e4m3) {
    const std::uint32_t byte = encode_tile_scale(static_cast<std::uint8_t>(e4m3));
    const float value = decode_bf16(static_cast<std::uint16_t>((byte << 4U) + (kPower << 7U)));
    EXPECT_EQ(value, std::ldexp(decode_e4m3(static_cast<std::uint8_t>(e4m3)), kPower - 117)) << e4m3;
    for (std::uint8_t code = 0; code < 16; ++code) {
      const float product = decode_e2m1(code) * 0x1p-126F * value;
      EXPECT_EQ(product, decode_e2m1(code) * decode_e4m3(static_cast<std::uint8_t>(e4m3)) * 0x1p-8F);
      EXPECT_EQ(decode_bf16(encode_bf16(product)), product);
    }
  }
}

TEST(Fragment16x64, AddressesAreOneToOneAndInverse) {
  constexpr std::uint64_t kCols = 192;
  std::set<std::uint64_t> scale_offsets;
  std::set<std::pair<std::uint64_t, std::uint32_t>> places;
  for (std::uint64_t row = 0; row < Fragment::kRows; ++row) {
    for (std::uint64_t col = 0; col < kCols; ++col) {
      const std::uint64_t words = Fragment::words_offset(row, col);
      const std::uint32_t code_idx = Fragment::code_idx(row, col);
      EXPECT_TRUE(places.emplace(words, code_idx).second);
      EXPECT_EQ(words % 8, 0U);
      EXPECT_GE(words % Fragment::kBytes, Fragment::kCodesOffset);
      EXPECT_LT(words, Fragment::row_group_bytes(kCols));
      const Fragment::Position position = Fragment::position(words, code_idx);
      EXPECT_EQ(position.row, row);
      EXPECT_EQ(position.col, col);
      if (col % 16 != 0) continue;
      EXPECT_LT(Fragment::scale_offset(row, col) % Fragment::kBytes, Fragment::kCodesOffset);
      EXPECT_TRUE(scale_offsets.insert(Fragment::scale_offset(row, col)).second);
    }
  }
}

struct Shape {
  std::uint64_t rows, cols, block_size;
};

struct Matrix {
  std::vector<std::uint8_t> codes, scales;

  Matrix(const Shape& shape, std::mt19937& random)
      : codes(shape.rows * shape.cols / 2), scales(shape.rows * shape.cols / shape.block_size) {
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 8 == 0 ? 0 : random() % 0x7F);
  }
  [[nodiscard]] FragmentRows<const std::uint8_t> from(std::uint64_t row, const Shape& shape) const {
    return {codes.data() + row * shape.cols / 2, scales.data() + row * (shape.cols / shape.block_size)};
  }
  [[nodiscard]] FragmentRows<std::uint8_t> from(std::uint64_t row, const Shape& shape) {
    return {codes.data() + row * shape.cols / 2, scales.data() + row * (shape.cols / shape.block_size)};
  }
  // Codes of blocks whose scale is 0 are 0.
  void clear_codes_of_zero_scales(const Shape& shape) {
    for (std::uint64_t i = 0; i < codes.size(); ++i) {
      if (scales[i * 2 / shape.block_size] == 0) codes[i] = 0;
    }
  }
};

// What a lane of a warp sees of a tile, by the words of the header alone; 0 outside of the matrix.
void expect_lane_views(const std::uint8_t* group, const Shape& shape, std::uint64_t first_row, std::uint64_t num_rows,
                       std::uint64_t row_in_group, const Matrix& matrix) {
  for (std::uint64_t col = 0; col < Fragment::num_tiles(shape.cols) * Fragment::kCols; ++col) {
    for (std::uint64_t r = 0; r < 16 - row_in_group && r < 8; ++r) {
      const bool inside = r < num_rows && col < shape.cols;
      const std::uint64_t at = (first_row + r) * shape.cols + col;
      const std::uint8_t scale = inside ? matrix.scales[at / shape.block_size] : std::uint8_t{0};
      const std::uint32_t code = inside && scale != 0 ? matrix.codes[at / 2] >> col % 2 * 4 & 15U : 0U;
      const std::uint64_t g = r;
      const std::uint64_t in_block = col % 16;
      const std::uint64_t lane = 4 * g + in_block % 8 / 2;
      const std::uint8_t* const tile = group + col / 64 * 576;
      std::uint64_t words = 0;
      std::memcpy(&words, tile + 64 + lane * 16 + col % 64 / 32 * 8, 8);
      const std::uint64_t pair = col % 32 / 16 * 4 + in_block / 8 * 2 + (row_in_group == 8 ? 1U : 0U);
      const float value = half_of(decode_words(words)[pair], static_cast<std::uint32_t>(col % 2));
      EXPECT_EQ(value, decode_e2m1(static_cast<std::uint8_t>(code)) * 0x1p-126F) << r << ", " << col;
      const std::uint8_t tile_scale = tile[g * 8 + (row_in_group == 8 ? 4U : 0U) + col % 64 / 16];
      EXPECT_EQ(tile_scale, encode_tile_scale(scale)) << r << ", " << col;
    }
  }
}

const std::vector<Shape> kShapes = {{16, 64, 16}, {1, 16, 16}, {33, 80, 16},  {15, 208, 16},
                                    {48, 96, 32}, {7, 64, 64}, {32, 112, 16}, {9, 144, 16}};

TEST(Fragment16x64, HoldsOneMatrixAndGivesItBack) {
  std::mt19937 random(1);
  for (const Shape& shape : kShapes) {
    Matrix matrix(shape, random);
    Matrix back(shape, random);
    std::vector<std::uint8_t> out(Fragment::num_bytes(shape.rows, shape.cols), 0xFF);
    for (std::uint64_t row = 0; row < shape.rows; row += 16) {
      const FragmentShape piece{std::min<std::uint64_t>(16, shape.rows - row), shape.cols, shape.block_size};
      std::uint8_t* const group = out.data() + row / 16 * Fragment::row_group_bytes(shape.cols);
      pack_fragments(std::as_const(matrix).from(row, shape), piece, group);
      expect_lane_views(group, shape, row, std::min<std::uint64_t>(8, piece.num_rows), 0, matrix);
      expect_lane_views(group, shape, row + 8, piece.num_rows < 8 ? 0 : piece.num_rows - 8, 8, matrix);
      unpack_fragments(group, piece, back.from(row, shape));
    }
    matrix.clear_codes_of_zero_scales(shape);
    EXPECT_EQ(back.codes, matrix.codes);
    EXPECT_EQ(back.scales, matrix.scales);
  }
}

TEST(Fragment16x64, HoldsAPairRowBesideRowAndGivesItBack) {
  std::mt19937 random(2);
  for (const Shape& shape : kShapes) {
    Matrix gate(shape, random);
    Matrix up(shape, random);
    Matrix gate_back(shape, random);
    Matrix up_back(shape, random);
    std::vector<std::uint8_t> out(Fragment::num_pair_bytes(shape.rows, shape.cols), 0xFF);
    for (std::uint64_t row = 0; row < shape.rows; row += 8) {
      const FragmentShape piece{std::min<std::uint64_t>(8, shape.rows - row), shape.cols, shape.block_size};
      std::uint8_t* const group = out.data() + row / 8 * Fragment::row_group_bytes(shape.cols);
      pack_fragment_pair(std::as_const(gate).from(row, shape), std::as_const(up).from(row, shape), piece, group);
      expect_lane_views(group, shape, row, piece.num_rows, 0, gate);
      expect_lane_views(group, shape, row, piece.num_rows, 8, up);
      unpack_fragment_pair(group, piece, gate_back.from(row, shape), up_back.from(row, shape));
    }
    for (Matrix* const matrix : {&gate, &up}) matrix->clear_codes_of_zero_scales(shape);
    EXPECT_EQ(gate_back.codes, gate.codes);
    EXPECT_EQ(gate_back.scales, gate.scales);
    EXPECT_EQ(up_back.codes, up.codes);
    EXPECT_EQ(up_back.scales, up.scales);
  }
}

}  // namespace
}  // namespace nvfp4
