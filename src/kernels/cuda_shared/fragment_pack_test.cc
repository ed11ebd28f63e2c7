// The packing kernels against layouts/fragment_16x64.cc and layouts/block_scaled_16x64.cc, byte for byte.
#include "kernels/cuda_shared/fragment_pack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "device/buffer.h"
#include "device/stream.h"
#include "kernels/cuda_shared/block_scaled_pack.h"
#include "layouts/block_scaled_16x64.h"
#include "layouts/fragment_16x64.h"
#include "support/emulated_size.h"

namespace nvfp4::kernels {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Fragment = Fragment16x64;

struct HostMatrix {
  Bytes codes, scales;

  HostMatrix(const FragmentPieces& pieces, std::mt19937_64& random)
      : codes(pieces.num_matrices * pieces.num_rows * pieces.cols / 2),
        scales(pieces.num_matrices * pieces.num_rows * (pieces.cols / pieces.block_size)) {
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random() % 8 == 0 ? 0 : random() % 0x7F);
  }
  void clear_codes_of_zero_scales(const FragmentPieces& pieces) {
    for (std::uint64_t i = 0; i < codes.size(); ++i) {
      if (scales[i * 2 / pieces.block_size] == 0) codes[i] = 0;
    }
  }
  [[nodiscard]] FragmentRows<const std::uint8_t> from(std::uint64_t row, const FragmentPieces& pieces) const {
    return {codes.data() + row * (pieces.cols / 2), scales.data() + row * (pieces.cols / pieces.block_size)};
  }
};

class DeviceMatrix {
 public:
  DeviceMatrix(const HostMatrix& host, DeviceStream stream)
      : codes_(to_device<std::uint8_t>(host.codes, stream).value()),
        scales_(to_device<std::uint8_t>(host.scales, stream).value()) {}

  [[nodiscard]] RowMajorMatrix<const std::uint8_t> read() const {
    return {codes_.as<std::uint8_t>(), scales_.as<std::uint8_t>()};
  }
  [[nodiscard]] RowMajorMatrix<std::uint8_t> write() const {
    return {codes_.as<std::uint8_t>(), scales_.as<std::uint8_t>()};
  }
  void clear(DeviceStream stream) const {
    ASSERT_TRUE(codes_.fill(0xAA, stream).ok());
    ASSERT_TRUE(scales_.fill(0xAA, stream).ok());
  }
  void expect_equal(const HostMatrix& host, DeviceStream stream) const {
    Bytes codes(host.codes.size());
    Bytes scales(host.scales.size());
    ASSERT_TRUE(to_host<std::uint8_t>(codes_, codes, stream).ok());
    ASSERT_TRUE(to_host<std::uint8_t>(scales_, scales, stream).ok());
    EXPECT_TRUE(codes == host.codes);
    EXPECT_TRUE(scales == host.scales);
  }

 private:
  Buffer codes_, scales_;
};

Bytes pack_on_host(const FragmentPieces& pieces, const HostMatrix& first, const HostMatrix& second, bool is_scaled) {
  const auto pack_one = is_scaled ? pack_block_scaled : pack_fragments;
  const auto pack_pair = is_scaled ? pack_block_scaled_pair : pack_fragment_pair;
  const std::uint64_t group_rows = pieces.is_pair ? Fragment::kPairRows : Fragment::kRows;
  const std::uint64_t group_bytes = Fragment::row_group_bytes(pieces.cols);
  Bytes out;
  for (std::uint64_t matrix_idx = 0; matrix_idx < pieces.num_matrices; ++matrix_idx) {
    for (std::uint64_t row = 0; row < pieces.num_rows; row += group_rows) {
      const FragmentShape shape{std::min(group_rows, pieces.num_rows - row), pieces.cols, pieces.block_size};
      const std::uint64_t from = matrix_idx * pieces.num_rows + row;
      out.resize(out.size() + group_bytes);
      std::uint8_t* const group = out.data() + out.size() - group_bytes;
      if (pieces.is_pair) {
        pack_pair(first.from(from, pieces), second.from(from, pieces), shape, group);
      } else {
        pack_one(first.from(from, pieces), shape, group);
      }
    }
  }
  return out;
}

const std::vector<FragmentPieces> kPieces = {
    {1, 16, 64, 16, false},     {1, 1, 16, 16, false},    {3, 33, 80, 16, false},     {2, 15, 208, 16, false},
    {1, 48, 96, 32, false},     {5, 7, 64, 64, false},    {1, 8, 64, 16, true},       {4, 24, 112, 16, true},
    {2, 9, 48, 16, true},       {3, 100, 2688, 32, true}, {8, 2688, 1856, 16, false}, {8, 768, 2048, 16, true},
    {1, 25600, 5120, 16, false}};

void expect_packed_and_back(const FragmentPacker& packer) {
  const bool is_scaled = packer.layout == DeviceWeightLayout::kBlockScaled16x64;
  const auto stream = Stream::create();
  ASSERT_TRUE(stream.ok());
  const DeviceStream queue = stream.value().get();
  std::mt19937_64 random(1);
  for (const FragmentPieces& pieces : kPieces) {
    SCOPED_TRACE(testing::Message() << pieces.num_matrices << " x " << pieces.num_rows << " x " << pieces.cols);
    if (support::is_for_gpus_only(pieces.num_matrices * pieces.num_rows * pieces.cols, 50000)) continue;
    HostMatrix first(pieces, random);
    HostMatrix second(pieces, random);
    const Bytes expected = pack_on_host(pieces, first, second, is_scaled);
    const DeviceMatrix device_first(first, queue);
    const DeviceMatrix device_second(second, queue);
    const auto packed = Buffer::allocate(expected.size());
    ASSERT_TRUE(packed.ok());
    ASSERT_TRUE(packed.value().fill(0xAA, queue).ok());
    auto* const tiles = packed.value().as<std::uint8_t>();
    ASSERT_TRUE(packer.pack(pieces, device_first.read(), device_second.read(), tiles, queue).ok());
    Bytes found(expected.size());
    ASSERT_TRUE(to_host<std::uint8_t>(packed.value(), found, queue).ok());
    EXPECT_TRUE(found == expected);

    device_first.clear(queue);
    if (pieces.is_pair) device_second.clear(queue);
    ASSERT_TRUE(packer.unpack(pieces, tiles, device_first.write(), device_second.write(), queue).ok());
    if (!is_scaled) first.clear_codes_of_zero_scales(pieces);
    if (!is_scaled && pieces.is_pair) second.clear_codes_of_zero_scales(pieces);
    device_first.expect_equal(first, queue);
    device_second.expect_equal(second, queue);
  }
}

TEST(FragmentPack, IsWhatTheHostPacksAndComesBack) { expect_packed_and_back(cuda_fragment_packer()); }
TEST(BlockScaledPack, IsWhatTheHostPacksAndComesBack) { expect_packed_and_back(cuda_block_scaled_packer()); }

}  // namespace
}  // namespace nvfp4::kernels
