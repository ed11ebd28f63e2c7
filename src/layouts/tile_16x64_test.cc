#include "layouts/tile_16x64.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <set>
#include <vector>

#include "formats/e4m3.h"

namespace nvfp4 {
namespace {

TEST(TileScale, ShiftedByTwentyBitsItIsTheScaleInFloat32) {
  std::set<std::uint8_t> seen;
  for (std::uint32_t e4m3 = 0; e4m3 <= 0x7E; ++e4m3) {
    const std::uint8_t code = encode_tile_scale(static_cast<std::uint8_t>(e4m3));
    EXPECT_TRUE(seen.insert(code).second) << e4m3;
    const float value = std::bit_cast<float>(std::uint32_t{code} << 20U);
    EXPECT_EQ(value, decode_e4m3(static_cast<std::uint8_t>(e4m3)) * kTileScaleUnit) << e4m3;
    EXPECT_TRUE(value == 0.0F || std::isnormal(value)) << e4m3;
    EXPECT_EQ(decode_tile_scale(code), e4m3);
  }
}

struct Shape {
  std::uint64_t rows, cols, block_size;
};

TEST(Tile16x64, HoldsEveryCodeAndScaleAtItsAddressAndZerosElsewhere) {
  std::mt19937 random(1);
  for (const Shape shape : {Shape{16, 64, 16}, {1, 16, 16}, {33, 80, 16}, {15, 208, 16}, {48, 96, 32}, {7, 64, 64}}) {
    const auto [rows, cols, block_size] = shape;
    std::vector<std::uint8_t> codes(rows * cols / 2);
    std::vector<std::uint8_t> scales(rows * cols / block_size);
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 0x7F);
    std::vector<std::uint8_t> tiles(Tile16x64::num_bytes(rows, cols), 0xFF);
    const std::uint64_t group_bytes = Tile16x64::num_bytes(16, cols);
    for (std::uint64_t row = 0; row < rows; row += 16) {
      pack_row_group(codes.data() + row * cols / 2, scales.data() + row * cols / block_size,
                     std::min<std::uint64_t>(16, rows - row), cols, block_size, tiles.data() + row / 16 * group_bytes);
    }
    for (std::uint64_t row = 0; row < rows; ++row) {
      for (std::uint64_t col = 0; col < cols; ++col) {
        std::uint8_t& byte = tiles[Tile16x64::code_offset(row, col, cols)];
        const std::uint32_t shift = col % 2 * 4;
        EXPECT_EQ(byte >> shift & 15, codes[(row * cols + col) / 2] >> shift & 15) << row << ", " << col;
        byte = static_cast<std::uint8_t>(byte & ~(15U << shift));
        if (col % 16 != 0) continue;
        std::uint8_t& scale = tiles[Tile16x64::scale_offset(row, col, cols)];
        EXPECT_EQ(decode_tile_scale(scale), scales[(row * cols + col) / block_size]) << row << ", " << col;
        scale = 0;
      }
    }
    for (const std::uint8_t byte : tiles) EXPECT_EQ(byte, 0);
  }
}

}  // namespace
}  // namespace nvfp4
