#include "kernels/cuda_shared/random_fill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "layouts/fragment_16x64.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;
using Bytes = std::vector<std::uint8_t>;

std::uint64_t row_groups(const FragmentPieces& pieces) {
  return pieces.is_pair ? Fragment16x64::num_pair_row_groups(pieces.num_rows)
                        : Fragment16x64::num_row_groups(pieces.num_rows);
}

// What a row group holds, as the file would have it, and its bytes when they are packed again.
struct RowGroup {
  Bytes codes[2], scales[2], packed;

  RowGroup(const FragmentPieces& pieces, std::uint64_t group_idx, const std::uint8_t* from)
      : packed(Fragment16x64::row_group_bytes(pieces.cols)) {
    const std::uint64_t group_rows = pieces.is_pair ? Fragment16x64::kPairRows : Fragment16x64::kRows;
    const std::uint64_t num_rows = std::min(group_rows, pieces.num_rows - group_idx * group_rows);
    const FragmentShape shape{num_rows, pieces.cols, 16};
    for (std::size_t i = 0; i < (pieces.is_pair ? 2U : 1U); ++i) {
      codes[i].resize(num_rows * pieces.cols / 2);
      scales[i].resize(num_rows * pieces.cols / 16);
    }
    const FragmentRows<std::uint8_t> first{codes[0].data(), scales[0].data()};
    const FragmentRows<std::uint8_t> second{codes[1].data(), scales[1].data()};
    const FragmentRows<const std::uint8_t> first_in{first.codes, first.scales};
    if (pieces.is_pair) {
      unpack_fragment_pair(from, shape, first, second);
      pack_fragment_pair(first_in, {second.codes, second.scales}, shape, packed.data());
    } else {
      unpack_fragments(from, shape, first);
      pack_fragments(first_in, shape, packed.data());
    }
  }
};

double sum_of_squares(const Bytes& codes, const Bytes& scales) {
  double sum = 0;
  for (std::size_t i = 0; i < codes.size() * 2; ++i) {
    const double value = double{decode_e2m1(codes[i / 2] >> i % 2 * 4 & 15U)} * double{decode_e4m3(scales[i / 16])};
    sum += value * value;
  }
  return sum;
}

// Every byte is one that packing makes of what it holds: padding is zero, scales are in range.
TEST(RandomFill, FragmentsAreWeights) {
  const GpuQueue queue;
  for (const FragmentPieces& pieces :
       {FragmentPieces{1, 64, 256}, FragmentPieces{3, 40, 80}, FragmentPieces{2, 24, 144, 16, true},
        FragmentPieces{1, 1, 16}, FragmentPieces{1, 13, 1040, 16, true}}) {
    const std::uint64_t group_bytes = Fragment16x64::row_group_bytes(pieces.cols);
    const std::uint64_t num_groups = pieces.num_matrices * row_groups(pieces);
    const GpuArray<std::uint8_t> packed(queue, num_groups * group_bytes);
    queue.expect_ok(cuda_random().fill_fragments(pieces, 1, packed.data(), queue.get()));
    const Bytes bytes = packed.host();
    std::set<std::uint8_t> scales;
    for (std::uint64_t i = 0; i < num_groups; ++i) {
      const std::uint8_t* const from = bytes.data() + i * group_bytes;
      const RowGroup group(pieces, i % row_groups(pieces), from);
      EXPECT_TRUE(std::equal(group.packed.begin(), group.packed.end(), from)) << "row group " << i;
      for (const Bytes& each : group.scales) scales.insert(each.begin(), each.end());
    }
    EXPECT_GE(*scales.begin(), 0x30);
    EXPECT_LE(*scales.rbegin(), 0x3F);
  }
}

TEST(RandomFill, FragmentsHaveTheSpreadThatIsSaid) {
  const GpuQueue queue;
  const FragmentPieces pieces{4, 256, 512, 16, true};
  const std::uint64_t group_bytes = Fragment16x64::row_group_bytes(pieces.cols);
  const std::uint64_t num_groups = pieces.num_matrices * row_groups(pieces);
  const GpuArray<std::uint8_t> packed(queue, num_groups * group_bytes);
  queue.expect_ok(cuda_random().fill_fragments(pieces, 1, packed.data(), queue.get()));
  const Bytes bytes = packed.host();
  double sum = 0;
  for (std::uint64_t i = 0; i < num_groups; ++i) {
    const RowGroup group(pieces, i % row_groups(pieces), bytes.data() + i * group_bytes);
    for (std::size_t half = 0; half < 2; ++half) sum += sum_of_squares(group.codes[half], group.scales[half]);
  }
  const double count = 2.0 * 4 * 256 * 512;
  EXPECT_NEAR(std::sqrt(sum / count) / kRandomFragmentRms, 1, 0.01);

  const GpuArray<std::uint8_t> again(queue, num_groups * group_bytes);
  queue.expect_ok(cuda_random().fill_fragments(pieces, 1, again.data(), queue.get()));
  EXPECT_TRUE(again.host() == bytes);
  queue.expect_ok(cuda_random().fill_fragments(pieces, 2, again.data(), queue.get()));
  EXPECT_FALSE(again.host() == bytes);
}

TEST(RandomFill, Fp8NumbersAreFiniteAndWithinBounds) {
  const GpuQueue queue;
  const GpuArray<std::uint8_t> values(queue, 100'003);
  queue.expect_ok(cuda_random().fill_e4m3(100'001, 3, values.data(), queue.get()));
  const Bytes host = values.host();
  double sum = 0;
  for (std::size_t i = 0; i < 100'001; ++i) {
    const double value = double{decode_e4m3(host[i])};
    ASSERT_LE(std::fabs(value), 240);
    sum += value * value;
  }
  EXPECT_NEAR(std::sqrt(sum / 100'001) / kRandomE4m3Rms, 1, 0.03);
  EXPECT_EQ(host[100'001], 0xA5);
  EXPECT_EQ(host[100'002], 0xA5);
}

TEST(RandomFill, Bf16NumbersAreNormal) {
  const GpuQueue queue;
  const GpuArray<Bf16Bits> values(queue, 200'002);
  queue.expect_ok(cuda_random().fill_bf16(200'001, 0.5, 4, values.data(), queue.get()));
  const std::vector<Bf16Bits> host = values.host();
  double sum = 0;
  double squares = 0;
  std::size_t num_far = 0;  // beyond two deviations: 4.55 %
  for (std::size_t i = 0; i < 200'001; ++i) {
    const double value = double{decode_bf16(host[i])};
    sum += value;
    squares += value * value;
    num_far += std::fabs(value) > 1.0 ? 1 : 0;
  }
  EXPECT_NEAR(sum / 200'001, 0, 0.01);
  EXPECT_NEAR(std::sqrt(squares / 200'001), 0.5, 0.005);
  EXPECT_NEAR(static_cast<double>(num_far) / 200'001, 0.0455, 0.003);
  EXPECT_EQ(host[200'001], 0xA5A5);
}

TEST(RandomFill, CountsSeeWhatIsWrong) {
  const GpuQueue queue;
  std::vector<Bf16Bits> values(10'000, 0x3F80);
  values[17] = 0x7F80;   // infinity
  values[18] = 0xFFC1;   // NaN
  values[9'999] = 0x0;   // zero
  values[500] = 0x8000;  // -0
  const GpuArray<Bf16Bits> device(queue, values);
  const GpuArray<ValueCounts> counts(queue, std::vector<ValueCounts>(1));
  queue.expect_ok(cuda_random().count_bf16(device.data(), values.size(), counts.data(), queue.get()));
  EXPECT_EQ(counts.host()[0].num_not_finite, 2U);
  EXPECT_EQ(counts.host()[0].num_not_zero, 9'998U);
}

}  // namespace
}  // namespace nvfp4::kernels
