#include "formats/nvfp4_block.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace nvfp4 {
namespace {

static_assert(pack_e2m1(0x3, 0xA) == 0xA3);
static_assert(decode_nvfp4(7, block_multiplier(0x38, 0.5F, ScaleConvention::kMultiplier),
                           ScaleConvention::kMultiplier) == 3.0F);
static_assert(decode_nvfp4(7, block_multiplier(0x38, 0.5F, ScaleConvention::kDivisor), ScaleConvention::kDivisor) ==
              12.0F);

TEST(Nvfp4Block, LowNibbleIsTheEvenElement) {
  const std::array<std::uint8_t, 2> row = {0x21, 0x43};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(unpack_e2m1(row.data(), k), k + 1);
}

struct Vector {
  std::uint8_t block_scale;
  float scale2;
  ScaleConvention convention;
  std::array<std::uint32_t, 16> bits;  // FP32 bits of codes 0..15
};

// What ModelOpt (multiplier) and compressed-tensors (divisor) reconstruct; the scale2 are normalised by 256 instead of
// 448, as in four-over-six checkpoints. Scaling in another order, or by a reciprocal, gives other last bits.
constexpr Vector kVectors[] = {
    {0x7C,
     0x1.56b8bep-11F,
     ScaleConvention::kMultiplier,
     {0x00000000, 0x3E008547, 0x3E808547, 0x3EC0C7EA, 0x3F008547, 0x3F40C7EA, 0x3F808547, 0x3FC0C7EA, 0x00000000,
      0xBE008547, 0xBE808547, 0xBEC0C7EA, 0xBF008547, 0xBF40C7EA, 0xBF808547, 0xBFC0C7EA}},
    {0x7C,
     0x1.7e71c8p+10F,
     ScaleConvention::kDivisor,
     {0x00000000, 0x3E008548, 0x3E808548, 0x3EC0C7EC, 0x3F008548, 0x3F40C7EC, 0x3F808548, 0x3FC0C7EC, 0x80000000,
      0xBE008548, 0xBE808548, 0xBEC0C7EC, 0xBF008548, 0xBF40C7EC, 0xBF808548, 0xBFC0C7EC}},
    {0x07,
     0x1.629ec8p-11F,
     ScaleConvention::kMultiplier,
     {0x00000000, 0x369B2578, 0x371B2578, 0x3768B834, 0x379B2578, 0x37E8B834, 0x381B2578, 0x3868B834, 0x00000000,
      0xB69B2578, 0xB71B2578, 0xB768B834, 0xB79B2578, 0xB7E8B834, 0xB81B2578, 0xB868B834}},
    {0x07,
     0x1.719cc0p+10F,
     ScaleConvention::kDivisor,
     {0x00000000, 0x369B2577, 0x371B2577, 0x3768B832, 0x379B2577, 0x37E8B832, 0x381B2577, 0x3868B832, 0x80000000,
      0xB69B2577, 0xB71B2577, 0xB768B832, 0xB79B2577, 0xB7E8B832, 0xB81B2577, 0xB868B832}},
    {0x45,
     0x1.3cb5c6p-11F,
     ScaleConvention::kMultiplier,
     {0x00000000, 0x3A80A9D8, 0x3B00A9D8, 0x3B40FEC4, 0x3B80A9D8, 0x3BC0FEC4, 0x3C00A9D8, 0x3C40FEC4, 0x00000000,
      0xBA80A9D8, 0xBB00A9D8, 0xBB40FEC4, 0xBB80A9D8, 0xBBC0FEC4, 0xBC00A9D8, 0xBC40FEC4}},
    {0x45,
     0x1.9ddad8p+10F,
     ScaleConvention::kDivisor,
     {0x00000000, 0x3A80A9D9, 0x3B00A9D9, 0x3B40FEC6, 0x3B80A9D9, 0x3BC0FEC6, 0x3C00A9D9, 0x3C40FEC6, 0x80000000,
      0xBA80A9D9, 0xBB00A9D9, 0xBB40FEC6, 0xBB80A9D9, 0xBBC0FEC6, 0xBC00A9D9, 0xBC40FEC6}},
};

TEST(Nvfp4Block, DecodesAsTheProducersDo) {
  for (const Vector& vector : kVectors) {
    const float multiplier = block_multiplier(vector.block_scale, vector.scale2, vector.convention);
    std::array<std::uint8_t, 8> packed{};
    for (std::uint8_t code = 0; code < 16; ++code) {
      EXPECT_EQ(float_bits(decode_nvfp4(code, multiplier, vector.convention)), vector.bits[code]) << int{code};
      packed[code / 2] = static_cast<std::uint8_t>(packed[code / 2] | (code << (4 * (code % 2))));
    }
    std::array<float, 16> row{};
    dequantize_row(packed, std::span(&vector.block_scale, 1), 16, vector.scale2, vector.convention, row);
    for (std::size_t k = 0; k < 16; ++k) EXPECT_EQ(float_bits(row[k]), vector.bits[k]) << k;
  }
}

// Rows of many blocks, every scale byte, both block sizes, against the scalar decode.
TEST(Nvfp4Block, DequantizesRowsElementByElement) {
  std::mt19937_64 random(7);
  for (const std::uint32_t block_size : {16U, 32U}) {
    for (const ScaleConvention convention : {ScaleConvention::kMultiplier, ScaleConvention::kDivisor}) {
      std::vector<std::uint8_t> scales(256);
      for (std::size_t idx = 0; idx < scales.size(); ++idx) scales[idx] = static_cast<std::uint8_t>(idx);
      std::vector<std::uint8_t> codes(scales.size() * block_size / 2);
      for (auto& byte : codes) byte = static_cast<std::uint8_t>(random());
      std::vector<float> row(codes.size() * 2);
      dequantize_row(codes, scales, block_size, 0.00123F, convention, row);
      for (std::size_t k = 0; k < row.size(); ++k) {
        const float multiplier = block_multiplier(scales[k / block_size], 0.00123F, convention);
        const float want = decode_nvfp4(unpack_e2m1(codes.data(), k), multiplier, convention);
        if (std::isnan(want)) {
          ASSERT_TRUE(std::isnan(row[k])) << k;
        } else {
          ASSERT_EQ(float_bits(row[k]), float_bits(want)) << k;
        }
      }
    }
  }
}

TEST(Nvfp4Block, EmptyRowIsFine) { dequantize_row({}, {}, 16, 1.0F, ScaleConvention::kMultiplier, {}); }

}  // namespace
}  // namespace nvfp4
