#include "prepare/relayout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "layouts/tile_16x64.h"

namespace nvfp4::prepare {
namespace {

using kernels::WeightLayout;
using Tile = Tile16x64;

struct Shape {
  std::uint32_t num_experts;
  std::uint64_t rows, cols;
  std::uint32_t block_size;
};

// Whole and partial groups and tiles, one group that has to move over itself, and more than one large page of scales.
constexpr Shape kShapes[] = {{1, 16, 64, 16}, {1, 1, 16, 16},   {7, 33, 80, 16},   {5, 7, 64, 64},
                             {2, 48, 96, 32}, {1, 144, 64, 16}, {3, 256, 208, 16}, {5, 2064, 4096, 16}};

PreparedWeight random_weight(const Shape& shape) {
  PreparedWeight weight;
  weight.name = "w";
  weight.format = kernels::WeightFormat::kNvfp4;
  weight.num_experts = shape.num_experts;
  weight.out_features = shape.rows;
  weight.in_features = shape.cols;
  weight.block_size = shape.block_size;
  EXPECT_TRUE(weight.allocate());
  std::mt19937_64 random(shape.rows);
  const auto fill = [&](auto& buffer, std::uint64_t mask) {
    for (std::size_t at = 0; at < buffer.size(); at += 8) {
      const std::uint64_t word = random() & mask;
      std::memcpy(buffer.data() + at, &word, std::min<std::size_t>(8, buffer.size() - at));
    }
  };
  fill(weight.elements, ~0ULL);
  fill(weight.block_scales, 0x7E7E7E7E7E7E7E7EULL);
  return weight;
}

// The tiles beside the rows, group by group.
std::vector<std::uint8_t> expected_tiles(const PreparedWeight& weight) {
  const std::uint64_t rows = weight.out_features;
  const std::uint64_t cols = weight.in_features;
  const auto* const codes = reinterpret_cast<const std::uint8_t*>(weight.elements.data());
  const auto* const scales = reinterpret_cast<const std::uint8_t*>(weight.block_scales.data());
  std::vector<std::uint8_t> tiles(weight.num_experts * Tile::num_bytes(rows, cols));
  std::uint8_t* out = tiles.data();
  for (std::uint64_t expert = 0; expert < weight.num_experts; ++expert) {
    for (std::uint64_t row = 0; row < rows; row += Tile::kRows, out += Tile::num_bytes(Tile::kRows, cols)) {
      const std::uint64_t at = (expert * rows + row) * cols;
      pack_row_group(codes + at / 2, scales + at / weight.block_size, std::min(Tile::kRows, rows - row), cols,
                     weight.block_size, out);
    }
  }
  return tiles;
}

void expect_tiles(const PreparedWeight& weight, const std::vector<std::uint8_t>& expected) {
  EXPECT_EQ(weight.layout, WeightLayout::kTile16x64);
  EXPECT_FALSE(weight.block_scales.valid());
  ASSERT_EQ(weight.elements.size(), expected.size());
  EXPECT_EQ(std::memcmp(weight.elements.data(), expected.data(), expected.size()), 0);
}

TEST(Relayout, MakesTheSameTilesInPlaceAsBesideTheRows) {
  for (const std::size_t num_workers : {1, 3}) {
    WorkerPool pool(num_workers);
    for (const Shape& shape : kShapes) {
      PreparedWeight weight = random_weight(shape);
      const std::vector<std::uint8_t> expected = expected_tiles(weight);
      const std::byte* const memory = weight.elements.data();
      ASSERT_TRUE(relayout(weight, WeightLayout::kTile16x64, pool).ok());
      EXPECT_EQ(weight.elements.data(), memory);
      expect_tiles(weight, expected);
    }
  }
}

TEST(Relayout, TakesWeightsWithoutRoom) {
  WorkerPool pool(2);
  for (const Shape& shape : kShapes) {
    PreparedWeight weight = random_weight(shape);
    const std::vector<std::uint8_t> expected = expected_tiles(weight);
    LargeBuffer exact(weight.elements.size());
    std::memcpy(exact.data(), weight.elements.data(), exact.size());
    weight.elements = std::move(exact);
    ASSERT_TRUE(relayout(weight, WeightLayout::kTile16x64, pool).ok());
    expect_tiles(weight, expected);
  }
}

TEST(Relayout, LeavesRowsToKernelsThatReadRows) {
  WorkerPool pool(2);
  PreparedWeight weight = random_weight({2, 33, 80, 16});
  const std::vector<std::byte> before(weight.elements.data(), weight.elements.data() + weight.elements.size());
  ASSERT_TRUE(relayout(weight, WeightLayout::kRowMajor, pool).ok());
  EXPECT_EQ(weight.layout, WeightLayout::kRowMajor);
  EXPECT_TRUE(weight.block_scales.valid());
  ASSERT_EQ(weight.elements.size(), before.size());
  EXPECT_EQ(std::memcmp(weight.elements.data(), before.data(), before.size()), 0);
}

}  // namespace
}  // namespace nvfp4::prepare
