#include "checkpoint/health_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "formats/fp16.h"

namespace nvfp4::checkpoint {
namespace {

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

ScanCounts plain_block_scale_counts(const std::vector<std::uint8_t>& scales) {
  ScanCounts counts;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const float value = decode_e4m3(scales[i]);
    if (std::isnan(value)) {
      if (counts.num_nan++ == 0) counts.first_nan = i;
      continue;
    }
    if (std::signbit(value) && counts.num_negative++ == 0) counts.first_negative = i;
    counts.num_zero += value == 0 ? 1 : 0;
    counts.num_subnormal += value > 0 && value < 0x1p-6F ? 1 : 0;
    counts.num_saturated += value == kE4m3Max ? 1 : 0;
  }
  return counts;
}

TEST(HealthScan, EachBlockScaleByteInEachPlaceOfAVector) {
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    for (std::size_t place = 0; place < 21; ++place) {
      std::vector<std::uint8_t> scales(21, 0x38);
      scales[place] = static_cast<std::uint8_t>(byte);
      ScanCounts counts;
      scan_block_scales(bytes_of(scales), 0, counts);
      ASSERT_EQ(counts, plain_block_scale_counts(scales)) << byte << " at " << place;
    }
  }
}

TEST(HealthScan, LongRunsOfBlockScalesDoNotOverflowTheirCounters) {
  for (const std::uint8_t byte : {std::uint8_t{0x00}, std::uint8_t{0x03}, std::uint8_t{0x7E}, std::uint8_t{0x38}}) {
    const std::vector<std::uint8_t> scales(16 * 1000 + 5, byte);
    ScanCounts counts;
    scan_block_scales(bytes_of(scales), 0, counts);
    EXPECT_EQ(counts, plain_block_scale_counts(scales)) << int{byte};
  }
}

TEST(HealthScan, RandomBlockScalesInPieces) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint8_t> scales(random() % 20'000);
    const bool sound = round % 2 == 0;
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(sound ? random() % 0x7F : random());
    const std::size_t cut = scales.empty() ? 0 : random() % scales.size();
    ScanCounts first;
    ScanCounts second;
    scan_block_scales(bytes_of(scales).first(cut), 0, first);
    scan_block_scales(bytes_of(scales).subspan(cut), cut, second);
    second.merge(first);
    ASSERT_EQ(second, plain_block_scale_counts(scales));
  }
}

TEST(HealthScan, BlocksOfZeroCodes) {
  std::mt19937 random(2);
  for (const std::uint32_t block_size : {16U, 32U}) {
    const std::size_t block_bytes = block_size / 2;
    for (int round = 0; round < 300; ++round) {
      const std::size_t num_blocks = 1 + random() % 40;
      std::vector<std::uint8_t> codes(num_blocks * block_bytes);
      std::uint64_t num_zero = 0;
      for (std::size_t block = 0; block < num_blocks; ++block) {
        for (std::size_t i = 0; i < block_bytes; ++i)
          codes[block * block_bytes + i] = (random() % 2 == 0) ? 0x88 : 0x80;
        const bool zero = random() % 2 == 0;
        num_zero += zero ? 1 : 0;
        if (!zero)
          codes[block * block_bytes + random() % block_bytes] |=
              std::uint8_t(1U << (random() % 3 + 4 * (random() % 2)));
      }
      ScanCounts counts;
      scan_codes(bytes_of(codes), block_size, counts);
      ASSERT_EQ(counts.num_zero, num_zero) << block_size << " x " << num_blocks;
    }
  }
}

TEST(HealthScan, BlocksDownTheColumns) {
  std::mt19937 random(3);
  for (const std::uint32_t block_size : {16U, 32U}) {
    for (const std::size_t width : {1U, 7U, 256U, 257U, 600U}) {
      const std::size_t num_rows = block_size / 2;
      std::vector<std::uint8_t> codes(num_rows * width, 0x08);
      std::uint64_t num_zero = width;
      for (std::size_t column = 0; column < width; column += 1 + random() % 3) {
        codes[random() % num_rows * width + column] = 0x40;
        --num_zero;
      }
      ScanCounts counts;
      scan_codes_down(bytes_of(codes), block_size, counts);
      ASSERT_EQ(counts.num_zero, num_zero) << block_size << " x " << width;
    }
  }
}

struct FloatCase {
  const char* label;
  DType dtype;
  std::size_t element_bytes;
  std::uint64_t finite;    // bits of the largest finite value
  std::uint64_t infinity;  // 0: the type has none
  std::uint64_t nan;       // the first NaN above it
  std::uint64_t sign;
};

class HealthScanFloats : public testing::TestWithParam<FloatCase> {};

TEST_P(HealthScanFloats, EachPlace) {
  const FloatCase& param = GetParam();
  for (std::size_t place = 0; place < 37; ++place) {
    for (const std::uint64_t sign : {std::uint64_t{0}, param.sign}) {
      const auto scan = [&](std::uint64_t bits) {
        std::vector<std::uint8_t> bytes(37 * param.element_bytes);
        std::memcpy(bytes.data() + place * param.element_bytes, &bits, param.element_bytes);
        ScanCounts counts;
        scan_floats(param.dtype, bytes_of(bytes), 100, counts);
        return counts;
      };
      EXPECT_EQ(scan(param.finite | sign), (ScanCounts{.all_zero = false}));
      EXPECT_EQ(scan(param.nan | sign), (ScanCounts{.num_nan = 1, .first_nan = 100 + place, .all_zero = false}));
      if (param.infinity != 0) {
        EXPECT_EQ(scan(param.infinity | sign), (ScanCounts{.num_inf = 1, .first_inf = 100 + place, .all_zero = false}));
      }
      EXPECT_EQ(scan(sign), ScanCounts{}) << "a zero of either sign";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, HealthScanFloats,
                         testing::Values(FloatCase{"e4m3", DType::kF8E4M3, 1, 0x7E, 0, 0x7F, 0x80},
                                         FloatCase{"e5m2", DType::kF8E5M2, 1, 0x7B, 0x7C, 0x7D, 0x80},
                                         FloatCase{"e8m0", DType::kF8E8M0, 1, 0xFE, 0, 0xFF, 0},
                                         FloatCase{"fp16", DType::kF16, 2, 0x7BFF, 0x7C00, 0x7C01, 0x8000},
                                         FloatCase{"bf16", DType::kBF16, 2, 0x7F7F, 0x7F80, 0x7F81, 0x8000},
                                         FloatCase{"fp32", DType::kF32, 4, 0x7F7FFFFF, 0x7F800000, 0x7F800001,
                                                   0x80000000},
                                         FloatCase{"fp64", DType::kF64, 8, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000,
                                                   0x7FF0000000000001, 0x8000000000000000}),
                         [](const auto& test) { return test.param.label; });

TEST(HealthScan, TypesOfOtherKinds) {
  std::vector<std::uint8_t> bytes(48, 0xFF);
  ScanCounts counts;
  for (const DType dtype : {DType::kU8, DType::kI64, DType::kBool}) scan_floats(dtype, bytes_of(bytes), 0, counts);
  EXPECT_EQ(counts, ScanCounts{});

  std::vector<std::uint8_t> fnuz(40, 0x7F);  // 240, the largest
  fnuz[33] = 0x80;
  scan_floats(DType::kF8E4M3Fnuz, bytes_of(fnuz), 0, counts);
  EXPECT_EQ(counts, (ScanCounts{.num_nan = 1, .first_nan = 33, .all_zero = false}));

  const std::vector<float> pairs{0, 0, 0, INFINITY, 0, 0};  // complex: the second element
  ScanCounts complex;
  scan_floats(DType::kC64, bytes_of(pairs), 10, complex);
  EXPECT_EQ(complex, (ScanCounts{.num_inf = 1, .first_inf = 11, .all_zero = false}));
}

TEST(HealthScan, RowScales) {
  const std::vector<float> scales{1, -0.0F, -1, NAN, -NAN, INFINITY, -INFINITY, -2};
  ScanCounts counts;
  scan_row_scales(DType::kF32, bytes_of(scales), 4, counts);
  EXPECT_EQ(counts, (ScanCounts{.num_nan = 2,
                                .num_inf = 2,
                                .num_negative = 3,
                                .first_nan = 7,
                                .first_inf = 9,
                                .first_negative = 6,
                                .all_zero = false}));
  const std::vector<std::uint16_t> halves{0x3F80, 0x8000, 0xBF80};
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    ScanCounts negative;
    scan_row_scales(dtype, bytes_of(halves), 0, negative);
    EXPECT_EQ(negative, (ScanCounts{.num_negative = 1, .first_negative = 2, .all_zero = false}));
  }
}

}  // namespace
}  // namespace nvfp4::checkpoint
