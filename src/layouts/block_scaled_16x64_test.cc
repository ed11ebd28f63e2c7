#include "layouts/block_scaled_16x64.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace nvfp4 {
namespace {

using Layout = BlockScaled16x64;
using Bytes = std::vector<std::uint8_t>;

TEST(BlockScaled16x64, AddressesAreOneToOneAndInverse) {
  constexpr std::uint64_t kCols = 192;
  std::set<std::pair<std::uint64_t, std::uint32_t>> codes;
  std::set<std::uint64_t> scales;
  for (std::uint64_t row = 0; row < 16; ++row) {
    for (std::uint64_t col = 0; col < kCols; ++col) {
      const std::uint64_t offset = Layout::code_offset(row, col);
      const std::uint32_t shift = Layout::code_shift(col);
      EXPECT_TRUE(codes.emplace(offset, shift).second);
      EXPECT_GE(offset % Layout::kBytes, Layout::kCodesOffset);
      EXPECT_LT(offset, Layout::row_group_bytes(kCols));
      const Layout::Position position = Layout::position_of_code(offset, shift);
      EXPECT_EQ(position.row, row);
      EXPECT_EQ(position.col, col);
      if (col % 16 == 0) {
        EXPECT_TRUE(scales.insert(Layout::scale_offset(row, col)).second);
      }
    }
  }
  EXPECT_EQ(codes.size(), 16 * kCols);
  for (const std::uint64_t offset : scales) EXPECT_LT(offset % Layout::kBytes, Layout::kCodesOffset);
}

// What a lane finds in its 16 bytes, and in the words of scales, by the words of the PTX manual.
TEST(BlockScaled16x64, LanesFindTheirOperands) {
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t g = lane / 4;
    const std::uint32_t t = lane % 4;
    for (std::uint32_t i = 0; i < 32; ++i) {
      const std::uint32_t row = i < 8 || (i >= 16 && i < 24) ? g : g + 8;
      const std::uint32_t col = t * 8 + i % 8 + (i < 16 ? 0 : 32);
      EXPECT_EQ(Layout::code_offset(row, col), Layout::kCodesOffset + lane * 16 + i / 2);
      EXPECT_EQ(Layout::code_shift(col), i % 2 * 4);
    }
  }
  for (std::uint32_t row = 0; row < 16; ++row) {
    for (std::uint32_t block = 0; block < 4; ++block) {
      EXPECT_EQ(Layout::scale_offset(row, block * 16), (row % 8 * 2 + row / 8) * 4 + block);
    }
  }
}

struct Matrix {
  Bytes codes, scales;
  Matrix(const FragmentShape& shape, std::mt19937_64& random)
      : codes(shape.num_rows * shape.cols / 2), scales(shape.num_rows * shape.cols / shape.block_size) {
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 0x7F);
  }
  [[nodiscard]] FragmentRows<const std::uint8_t> read() const { return {codes.data(), scales.data()}; }
  [[nodiscard]] FragmentRows<std::uint8_t> write() { return {codes.data(), scales.data()}; }
};

TEST(BlockScaled16x64, PacksWhereTheMapSaysAndBack) {
  std::mt19937_64 random(1);
  for (const std::uint64_t cols : {16U, 48U, 64U, 80U, 320U}) {
    for (const std::uint64_t num_rows : {1U, 7U, 8U, 9U, 16U}) {
      for (const std::uint64_t block_size : {std::uint64_t{16}, cols}) {
        const FragmentShape shape{num_rows, cols, block_size};
        const Matrix matrix(shape, random);
        Bytes packed(Layout::row_group_bytes(cols), 0xAA);
        pack_block_scaled(matrix.read(), shape, packed.data());
        for (std::uint64_t row = 0; row < 16; ++row) {
          for (std::uint64_t col = 0; col < Layout::num_tiles(cols) * Layout::kCols; ++col) {
            const bool exists = row < num_rows && col < cols;
            const std::uint64_t at = row * cols + col;
            const int code = packed[Layout::code_offset(row, col)] >> Layout::code_shift(col) & 15;
            EXPECT_EQ(code, exists ? matrix.codes[at / 2] >> at % 2 * 4 & 15 : 0);
            EXPECT_EQ(packed[Layout::scale_offset(row, col)], exists ? matrix.scales[at / block_size] : 0);
          }
        }
        Matrix back(shape, random);
        unpack_block_scaled(packed.data(), shape, back.write());
        EXPECT_TRUE(back.codes == matrix.codes && back.scales == matrix.scales);
      }
    }
  }
}

TEST(BlockScaled16x64, PairsLieInTheTwoHalvesOfARowGroup) {
  std::mt19937_64 random(2);
  for (const std::uint64_t num_rows : {3U, 8U}) {
    const FragmentShape shape{num_rows, 144, 16};
    const Matrix first(shape, random);
    const Matrix second(shape, random);
    Bytes packed(Layout::row_group_bytes(shape.cols), 0xAA);
    pack_block_scaled_pair(first.read(), second.read(), shape, packed.data());
    Matrix whole({16, shape.cols, 16}, random);
    unpack_block_scaled(packed.data(), {16, shape.cols, 16}, whole.write());
    EXPECT_EQ(std::memcmp(whole.codes.data(), first.codes.data(), first.codes.size()), 0);
    EXPECT_EQ(std::memcmp(whole.codes.data() + 8 * 72, second.codes.data(), second.codes.size()), 0);
    Matrix first_back(shape, random);
    Matrix second_back(shape, random);
    unpack_block_scaled_pair(packed.data(), shape, first_back.write(), second_back.write());
    EXPECT_TRUE(first_back.codes == first.codes && first_back.scales == first.scales);
    EXPECT_TRUE(second_back.codes == second.codes && second_back.scales == second.scales);
  }
}

}  // namespace
}  // namespace nvfp4
