// The inverse of preparing: a prepared weight, read back by kernels/reference, is the weight that the checkpoint
// describes. For every linear weight of the checkpoints in fixtures/parity.
#include "prepare/prepared_weight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <vector>

#include "kernels/reference/linear.h"
#include "prepare/checkpoint_source.h"

namespace nvfp4::prepare {
namespace {

std::vector<std::filesystem::path> parity_checkpoints() {
  std::vector<std::filesystem::path> directories;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(NVFP4_FIXTURES) / "parity")) {
    if (std::filesystem::exists(entry.path() / "config.json")) directories.push_back(entry.path());
  }
  std::sort(directories.begin(), directories.end());
  return directories;
}

// Ours is e * s, with s the multiplier: exact in float64. The file's reader rounds twice (block scale by scale2, that
// by the element), and a divisor's reciprocal is rounded too: 3 half-units at most of the last place. Plain elements
// and zeros are equal; FP8 is rounded once.
double bound(const DescribedTensor& tensor, double value) {
  if (tensor.scheme == Scheme::kPlain) return 0;
  return std::fabs(value) * 3 * 0x1p-24 / (1 - 3 * 0x1p-24);
}

void expect_same_rows(const Checkpoint& checkpoint, const DescribedTensor& tensor, std::uint64_t first_row,
                      const kernels::LinearWeight& weight, std::uint32_t expert_idx) {
  std::vector<float> expected(weight.out_features * weight.in_features);
  const Status status = checkpoint.dequantize_rows(tensor, first_row, first_row + weight.out_features, expected);
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  std::vector<double> row(weight.in_features);
  for (std::uint64_t n = 0; n < weight.out_features; ++n) {
    kernels::reference::dequantize_row(weight, expert_idx, n, row);
    for (std::uint64_t k = 0; k < weight.in_features; ++k) {
      const float value = expected[n * weight.in_features + k];
      ASSERT_LE(std::fabs(row[k] - value), bound(tensor, value))
          << tensor.name << " [" << n << ", " << k << "]: " << row[k] << " instead of " << value;
    }
  }
}

class Inverse : public testing::TestWithParam<std::filesystem::path> {};

std::string_view module_of(std::string_view name) { return name.substr(0, name.rfind('.')); }

TEST_P(Inverse, EveryMatrixReadsBackAsTheCheckpointDescribesIt) {
  const auto checkpoint = Checkpoint::open(GetParam());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  std::size_t num_matrices = 0;
  for (const DescribedTensor& tensor : checkpoint->weights()) {
    if (tensor.shape.size() != 2) continue;
    const auto weight =
        source.matrix(std::string(module_of(tensor.name)), {tensor.out_features(), tensor.in_features()}, false);
    ASSERT_TRUE(weight.ok()) << weight.error().to_string();
    EXPECT_EQ(weight->activation, tensor.activation);
    EXPECT_EQ(weight->input_scale.size(), tensor.input_scale.size());
    expect_same_rows(*checkpoint, tensor, 0, weight->view(), 0);
    ++num_matrices;
  }
  EXPECT_GE(num_matrices, 10U);
}

// The same through the grouped call, for one projection of all experts of a layer at a time.
TEST_P(Inverse, EveryExpertReadsBackFromItsGroup) {
  const auto checkpoint = Checkpoint::open(GetParam());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  const std::string_view kFirst = ".experts.0.";
  std::size_t num_groups = 0;
  for (const DescribedTensor& tensor : checkpoint->weights()) {
    const std::size_t at = tensor.name.find(kFirst);
    if (at == std::string_view::npos) continue;
    const std::string prefix(tensor.name.substr(0, at + 8));
    const std::string projection(module_of(tensor.name.substr(at + kFirst.size())));
    std::vector<const DescribedTensor*> experts;
    for (std::uint32_t e = 0;; ++e) {
      const auto* expert = checkpoint->find(prefix + "." + std::to_string(e) + "." + projection + ".weight");
      if (expert == nullptr) break;
      experts.push_back(expert);
    }
    const auto weight = source.experts(prefix, projection, static_cast<std::uint32_t>(experts.size()),
                                       {tensor.out_features(), tensor.in_features()});
    ASSERT_TRUE(weight.ok()) << weight.error().to_string();
    EXPECT_EQ(weight->name, prefix + "." + projection);
    for (std::uint32_t e = 0; e < experts.size(); ++e) {
      expect_same_rows(*checkpoint, *experts[e], 0, weight->view(), e);
    }
    ++num_groups;
  }
  const bool is_moe = GetParam().filename().string().find("moe") != std::string::npos;
  EXPECT_EQ(num_groups > 0 || checkpoint->find("model.layers.0.mlp.experts.gate_up_proj") != nullptr, is_moe);
}

// Fused experts of unquantised checkpoints.
TEST_P(Inverse, FusedExpertsReadBack) {
  const auto checkpoint = Checkpoint::open(GetParam());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  for (const DescribedTensor& tensor : checkpoint->weights()) {
    if (tensor.shape.size() != 3) continue;
    const bool is_down = tensor.name.ends_with("down_proj");
    const std::uint64_t rows = is_down ? tensor.out_features() : tensor.out_features() / 2;
    const auto num_experts = static_cast<std::uint32_t>(tensor.num_experts());
    const std::vector<std::string> projections =
        is_down ? std::vector<std::string>{"down_proj"} : std::vector<std::string>{"gate_proj", "up_proj"};
    for (std::size_t part = 0; part < projections.size(); ++part) {
      const auto weight = source.experts(std::string(module_of(tensor.name)), projections[part], num_experts,
                                         {rows, tensor.in_features()});
      ASSERT_TRUE(weight.ok()) << weight.error().to_string();
      for (std::uint32_t e = 0; e < num_experts; ++e) {
        expect_same_rows(*checkpoint, tensor, e * tensor.out_features() + part * rows, weight->view(), e);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Inverse, testing::ValuesIn(parity_checkpoints()),
                         [](const auto& directory) { return directory.param.filename().string(); });

PreparedWeight nvfp4_weight(std::uint32_t num_experts, std::uint64_t out_features, std::uint64_t in_features) {
  PreparedWeight weight;
  weight.format = kernels::WeightFormat::kNvfp4;
  weight.num_experts = num_experts;
  weight.out_features = out_features;
  weight.in_features = in_features;
  weight.block_size = 16;
  return weight;
}

// Negative numbers and NaNs, at the ends of what a worker looks at and in the middle.
TEST(PreparedWeight, FindsEveryOddBlockScale) {
  WorkerPool pool(3);
  PreparedWeight weight = nvfp4_weight(1, 4096, 4096);
  ASSERT_TRUE(weight.allocate());
  const std::size_t size = weight.block_scales.size();
  auto* const scales = reinterpret_cast<std::uint8_t*>(weight.block_scales.data());
  std::memset(scales, 0x7E, size);
  weight.look_at_scales(pool);
  EXPECT_FALSE(weight.odd_scales);
  for (const std::size_t at : {std::size_t{0}, size / 3, size / 2 - 1, size / 2, size - 1}) {
    for (unsigned code = 0; code < 256; ++code) {
      scales[at] = static_cast<std::uint8_t>(code);
      weight.look_at_scales(pool);
      EXPECT_EQ(weight.odd_scales, code >= 0x7F) << code << " at " << at;
    }
    scales[at] = 0;
  }
}

TEST(PreparedWeight, WeightsWithoutBlockScalesHaveNone) {
  WorkerPool pool(2);
  PreparedWeight weight;
  weight.odd_scales = true;
  weight.look_at_scales(pool);
  EXPECT_FALSE(weight.odd_scales);
}

TEST(PreparedWeight, RefusesWhatDoesNotFitIntoMemory) {
  PreparedWeight weight = nvfp4_weight(1U << 31, 1ULL << 31, 1ULL << 31);
  EXPECT_FALSE(weight.allocate());
  weight = nvfp4_weight(1U << 20, 1ULL << 20, 1ULL << 20);
  EXPECT_FALSE(weight.allocate());
}

}  // namespace
}  // namespace nvfp4::prepare
