// Prepared weights moved to the device: the bytes that the layout's host code makes, and the checkpoint's when they
// come back; the memory that it takes meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "device/device.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "layouts/fragment_16x64.h"
#include "prepare/device_weight.h"
#include "prepare/random_weight.h"

namespace nvfp4::prepare {
namespace {

using Bytes = std::vector<std::uint8_t>;
using kernels::WeightFormat;

struct Spec {
  WeightFormat format = WeightFormat::kNvfp4;
  std::uint32_t num_experts = 1;
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  std::uint32_t block_size = 16;
  Activation activation = Activation::k16Bit;
  bool per_row_scale = false;
};

PreparedWeight random_weight(const Spec& spec, std::uint64_t key, WorkerPool& pool) {
  PreparedWeight weight;
  weight.name = "weight " + std::to_string(key);
  weight.format = spec.format;
  weight.num_experts = spec.num_experts;
  weight.out_features = spec.out_features;
  weight.in_features = spec.in_features;
  weight.block_size = spec.format == WeightFormat::kNvfp4 ? spec.block_size : 0;
  weight.activation = spec.activation;
  weight.per_row_scale = spec.per_row_scale;
  EXPECT_TRUE(fill_random(weight, key, 1.0, pool));
  return weight;
}

Bytes bytes_of(const std::byte* data, std::size_t num_bytes) {
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(data);
  return {begin, begin + num_bytes};
}

template <class T>
std::vector<T> read_back(const Buffer& buffer) {
  const auto stream = Stream::create();
  std::vector<T> out(buffer.size() / sizeof(T));
  EXPECT_TRUE(to_host<T>(buffer, out, stream.value().get()).ok());
  return out;
}

// The file's bytes of one matrix of all experts.
struct FileBytes {
  Bytes codes, scales;

  explicit FileBytes(const PreparedWeight& weight)
      : codes(bytes_of(weight.elements.data(), weight.elements.size())),
        scales(bytes_of(weight.block_scales.data(), weight.block_scales.size())) {
    for (std::size_t i = 0; i < codes.size(); ++i) {
      if (scales[i * 2 / weight.block_size] == 0) codes[i] = 0;
    }
  }
};

Bytes pack_on_host(const FileBytes& first, const FileBytes* second, const Spec& spec) {
  const std::uint64_t group_rows = second == nullptr ? Fragment16x64::kRows : Fragment16x64::kPairRows;
  const std::uint64_t row_scales = spec.in_features / spec.block_size;
  Bytes out;
  for (std::uint64_t expert = 0; expert < spec.num_experts; ++expert) {
    for (std::uint64_t row = 0; row < spec.out_features; row += group_rows) {
      const std::uint64_t from = expert * spec.out_features + row;
      const FragmentShape shape{std::min(group_rows, spec.out_features - row), spec.in_features, spec.block_size};
      const auto rows = [&](const FileBytes& file) {
        return FragmentRows<const std::uint8_t>{file.codes.data() + from * spec.in_features / 2,
                                                file.scales.data() + from * row_scales};
      };
      out.resize(out.size() + Fragment16x64::row_group_bytes(spec.in_features));
      std::uint8_t* const group = out.data() + out.size() - Fragment16x64::row_group_bytes(spec.in_features);
      if (second == nullptr) {
        pack_fragments(rows(first), shape, group);
      } else {
        pack_fragment_pair(rows(first), rows(*second), shape, group);
      }
    }
  }
  return out;
}

class DeviceWeights : public testing::Test {
 protected:
  void SetUp() override { stager_.emplace(DeviceStager::create(packer_, pool_, kPieceBytes).value()); }

  void expect_file_bytes(const Buffer& packed, const Spec& spec, const FileBytes& first, const FileBytes* second) {
    const kernels::FragmentPieces pieces{spec.num_experts, spec.out_features, spec.in_features, spec.block_size,
                                         second != nullptr};
    const auto stream = Stream::create();
    const auto allocate = [](const Bytes& bytes) { return Buffer::allocate(bytes.size()).value(); };
    const Buffer codes[2] = {allocate(first.codes), allocate(first.codes)};
    const Buffer scales[2] = {allocate(first.scales), allocate(first.scales)};
    ASSERT_TRUE(packer_
                    .unpack(pieces, packed.as<std::uint8_t>(),
                            {codes[0].as<std::uint8_t>(), scales[0].as<std::uint8_t>()},
                            {codes[1].as<std::uint8_t>(), scales[1].as<std::uint8_t>()}, stream.value().get())
                    .ok());
    ASSERT_TRUE(stream.value().synchronize().ok());
    EXPECT_TRUE(read_back<std::uint8_t>(codes[0]) == first.codes);
    EXPECT_TRUE(read_back<std::uint8_t>(scales[0]) == first.scales);
    if (second == nullptr) return;
    EXPECT_TRUE(read_back<std::uint8_t>(codes[1]) == second->codes);
    EXPECT_TRUE(read_back<std::uint8_t>(scales[1]) == second->scales);
  }

  static constexpr std::size_t kPieceBytes = 1 << 20;
  const kernels::FragmentPacker& packer_ = kernels::cuda_fragment_packer();
  WorkerPool pool_{4};
  std::optional<DeviceStager> stager_;
};

TEST_F(DeviceWeights, LinearLayersOfNvfp4) {
  std::uint64_t key = 0;
  for (const auto& [rows, cols, block_size] :
       {std::array<std::uint32_t, 3>{16, 64, 16}, {1, 16, 16}, {257, 4112, 16}, {5000, 2688, 32}, {4096, 2048, 16}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols);
    const Spec spec{.out_features = rows, .in_features = cols, .block_size = block_size};
    PreparedWeight weight = random_weight(spec, ++key, pool_);
    const FileBytes file(weight);
    const std::vector<float> scale2 = weight.scale2;
    const auto linear = move_to_device(std::move(weight), *stager_, pool_);
    ASSERT_TRUE(linear.ok()) << linear.error().to_string();
    EXPECT_TRUE(read_back<std::uint8_t>(linear->elements) == pack_on_host(file, nullptr, spec));
    expect_file_bytes(linear->elements, spec, file, nullptr);
    EXPECT_EQ(linear->view().shards.end_rows[0], rows);
    EXPECT_EQ(linear->view().shards.scale2[0], scale2[0]);
  }
}

TEST_F(DeviceWeights, LinearLayersOfOtherFormats) {
  for (const bool per_row : {false, true}) {
    for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kBF16}) {
      if (per_row && format == WeightFormat::kBF16) continue;
      const Spec spec{.format = format, .out_features = 1000, .in_features = 2064, .per_row_scale = per_row};
      PreparedWeight weight = random_weight(spec, 5, pool_);
      weight.bias.assign(1000, 0.5F);
      const Bytes file = bytes_of(weight.elements.data(), weight.elements.size());
      const std::vector<float> scale2 = weight.scale2;
      const auto linear = move_to_device(std::move(weight), *stager_, pool_);
      ASSERT_TRUE(linear.ok()) << linear.error().to_string();
      EXPECT_TRUE(read_back<std::uint8_t>(linear->elements) == file);
      EXPECT_EQ(read_back<float>(linear->bias), std::vector<float>(1000, 0.5F));
      EXPECT_EQ(read_back<float>(linear->row_scales), per_row ? scale2 : std::vector<float>());
    }
  }
}

TEST_F(DeviceWeights, ExpertsWithAndWithoutAGate) {
  for (const bool gated : {true, false}) {
    for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static}) {
      const Spec up_spec{.num_experts = 13, .out_features = 208, .in_features = 336, .activation = activation};
      const Spec down_spec{.num_experts = 13, .out_features = 336, .in_features = 208, .activation = activation};
      ExpertProjections experts{std::nullopt, random_weight(up_spec, 1, pool_), random_weight(down_spec, 2, pool_)};
      std::optional<FileBytes> gate;
      std::vector<float> gate_scale2;
      if (gated) {
        experts.gate = random_weight(up_spec, 3, pool_);
        experts.gate->input_scale = experts.up.input_scale;
        gate.emplace(*experts.gate);
        gate_scale2 = experts.gate->scale2;
      }
      const FileBytes up(experts.up);
      const FileBytes down(experts.down);
      const std::vector<float> input_scale = experts.down.input_scale;
      const auto moved = move_to_device(std::move(experts), *stager_, pool_);
      ASSERT_TRUE(moved.ok()) << moved.error().to_string();
      const FileBytes& first = gated ? *gate : up;
      EXPECT_TRUE(read_back<std::uint8_t>(moved->gate_up) == pack_on_host(first, gated ? &up : nullptr, up_spec));
      EXPECT_TRUE(read_back<std::uint8_t>(moved->down) == pack_on_host(down, nullptr, down_spec));
      expect_file_bytes(moved->gate_up, up_spec, first, gated ? &up : nullptr);
      EXPECT_EQ(read_back<float>(moved->gate_scale2), gate_scale2);
      EXPECT_EQ(read_back<float>(moved->fc2_input_scale), input_scale);
    }
  }
}

// Beside the weight itself: two pieces, and what allocation rounds up.
TEST_F(DeviceWeights, TakeNoSecondCopyOnTheDevice) {
  constexpr std::uint64_t kSlackBytes = 8 << 20;
  const Spec spec{.out_features = 32768, .in_features = 8192};
  PreparedWeight weight = random_weight(spec, 9, pool_);
  const auto device = Device::open(0);
  const std::uint64_t before = device->free_bytes().value();
  const auto linear = move_to_device(std::move(weight), *stager_, pool_);
  ASSERT_TRUE(linear.ok());
  EXPECT_LE(before - device->free_bytes().value(), linear->elements.size() + kSlackBytes);
}

}  // namespace
}  // namespace nvfp4::prepare
