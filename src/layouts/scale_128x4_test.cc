#include "layouts/scale_128x4.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

namespace nvfp4 {
namespace {

// One tile: its first 16 bytes are columns 0..3 of rows 0, 32, 64, 96; the next 16 those of rows 1, 33, 65, 97.
constexpr Scale128x4 kTile{128, 4};
static_assert(kTile.size_bytes() == 512);
static_assert(kTile.offset(0, 0) == 0 && kTile.offset(0, 3) == 3);
static_assert(kTile.offset(32, 0) == 4 && kTile.offset(64, 0) == 8 && kTile.offset(96, 3) == 15);
static_assert(kTile.offset(1, 0) == 16 && kTile.offset(31, 0) == 496 && kTile.offset(127, 3) == 511);
// Tiles run along the columns first.
constexpr Scale128x4 kRagged{129, 5};
static_assert(kRagged.padded_rows() == 256 && kRagged.padded_cols() == 8 && kRagged.size_bytes() == 2048);
static_assert(kRagged.offset(0, 4) == 512 && kRagged.offset(128, 0) == 1024 && kRagged.offset(128, 4) == 1536);
static_assert(kRagged.position(1536) == Scale128x4::Position{128, 4});
static_assert(kRagged.is_padding({129, 0}) && kRagged.is_padding({0, 5}) && !kRagged.is_padding({128, 4}));

std::vector<Scale128x4> shapes() {
  std::vector<Scale128x4> shapes = {{1, 1}, {127, 3}, {128, 4}, {129, 5}, {256, 8}, {32, 2}, {33, 11}, {0, 0}, {0, 4}};
  std::mt19937_64 random(20260101);
  for (int idx = 0; idx < 200; ++idx) shapes.push_back({random() % 600 + 1, random() % 40 + 1});
  return shapes;
}

std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() % 255 + 1);
  return bytes;
}

TEST(Scale128x4, OffsetAndPositionAreInverseBijections) {
  for (const Scale128x4& layout : shapes()) {
    std::vector<bool> seen(layout.size_bytes());
    for (std::size_t row = 0; row < layout.padded_rows(); ++row) {
      for (std::size_t col = 0; col < layout.padded_cols(); ++col) {
        const std::size_t byte = layout.offset(row, col);
        ASSERT_LT(byte, layout.size_bytes());
        ASSERT_FALSE(seen[byte]);
        seen[byte] = true;
        ASSERT_EQ(layout.position(byte), (Scale128x4::Position{row, col}));
      }
    }
    ASSERT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<std::ptrdiff_t>(layout.size_bytes()));
  }
}

// The same layout told otherwise: the padded matrix seen as [row_tiles, 4, 32, col_tiles, 4] and written out in the
// order [row_tiles, col_tiles, 32, 4, 4], that is with axes 1, 2, 3 permuted to 3, 2, 1.
std::vector<std::uint8_t> permuted(const Scale128x4& layout, const std::vector<std::uint8_t>& linear) {
  const std::size_t width = layout.padded_cols();
  std::vector<std::uint8_t> padded(layout.size_bytes(), 0);
  for (std::size_t row = 0; row < layout.rows; ++row) {
    std::copy_n(linear.begin() + static_cast<std::ptrdiff_t>(row * layout.cols), layout.cols,
                padded.begin() + static_cast<std::ptrdiff_t>(row * width));
  }
  const std::array<std::size_t, 5> extent = {layout.padded_rows() / 128, 4, 32, width / 4, 4};
  std::vector<std::uint8_t> out;
  for (std::size_t row_tile = 0; row_tile < extent[0]; ++row_tile) {
    for (std::size_t col_tile = 0; col_tile < extent[3]; ++col_tile) {
      for (std::size_t lane = 0; lane < extent[2]; ++lane) {
        for (std::size_t group = 0; group < extent[1]; ++group) {
          for (std::size_t col = 0; col < extent[4]; ++col) {
            const std::size_t row = (row_tile * extent[1] + group) * extent[2] + lane;
            out.push_back(padded[(row * extent[3] + col_tile) * extent[4] + col]);
          }
        }
      }
    }
  }
  return out;
}

TEST(Scale128x4, SwizzlesAsThePermutationDoes) {
  for (const Scale128x4& layout : shapes()) {
    const auto linear = random_bytes(layout.rows * layout.cols, layout.rows * 1000 + layout.cols);
    std::vector<std::uint8_t> swizzled(layout.size_bytes(), 0xAA);
    layout.swizzle(linear, swizzled);
    ASSERT_EQ(swizzled, permuted(layout, linear)) << layout.rows << " x " << layout.cols;
  }
}

TEST(Scale128x4, WritesPaddingAsZeroAndComesBack) {
  for (const Scale128x4& layout : shapes()) {
    const auto linear = random_bytes(layout.rows * layout.cols, layout.rows * 1000 + layout.cols + 1);
    std::vector<std::uint8_t> swizzled(layout.size_bytes(), 0xAA);
    layout.swizzle(linear, swizzled);
    for (std::size_t byte = 0; byte < swizzled.size(); ++byte) {
      ASSERT_EQ(swizzled[byte] == 0, layout.is_padding(layout.position(byte)));
      if (swizzled[byte] == 0) swizzled[byte] = 0xEE;  // padding must not come back
    }
    std::vector<std::uint8_t> back(linear.size());
    layout.unswizzle(swizzled, back);
    ASSERT_EQ(back, linear);
  }
}

}  // namespace
}  // namespace nvfp4
