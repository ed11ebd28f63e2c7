// Which number an expert has does not matter: with experts and router rows permuted alike, logits are the same bits.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "checkpoint/config_document.h"
#include "models/architectures.h"
#include "plan/inventory.h"
#include "prepare/checkpoint_source.h"
#include "support/model_session.h"
#include "support/npy_file.h"

namespace nvfp4 {
namespace {

using layers::Precision;
using prepare::ActivationRequest;
using prepare::MatrixShape;
using prepare::PreparedWeight;

// Moves group g of num_groups equal parts to place[g].
void permute(void* data, std::size_t num_bytes, std::span<const std::uint32_t> place) {
  if (num_bytes == 0) return;
  auto* const bytes = static_cast<std::byte*>(data);
  const std::vector<std::byte> before(bytes, bytes + num_bytes);
  const std::size_t size = num_bytes / place.size();
  ASSERT_EQ(size * place.size(), num_bytes);
  for (std::size_t group = 0; group < place.size(); ++group) {
    std::memcpy(bytes + place[group] * size, before.data() + group * size, size);
  }
}

void permute(PreparedWeight& weight, std::span<const std::uint32_t> place) {
  permute(weight.elements.data(), weight.elements.size(), place);
  if (weight.block_size != 0) permute(weight.block_scales.data(), weight.block_scales.size(), place);
}

class PermutedSource final : public prepare::WeightSource {
 public:
  PermutedSource(prepare::WeightSource& source, bool with_router) : source_(source), with_router_(with_router) {}

  [[nodiscard]] bool has(std::string_view name) const override { return source_.has(name); }

  [[nodiscard]] Result<PreparedWeight> matrix(const std::string& module, MatrixShape shape, bool has_bias) override {
    auto weight = source_.matrix(module, shape, has_bias);
    if (!weight.ok() || !module.ends_with(".mlp.gate") || !with_router_) return weight;
    // One scale at most, so that only elements and block scales belong to a row.
    EXPECT_LE(weight->scale2.size(), 1U);
    EXPECT_FALSE(has_bias);
    permute(*weight, place(module.substr(0, module.size() - 5), static_cast<std::uint32_t>(shape.out_features)));
    return weight;
  }

  [[nodiscard]] Result<PreparedWeight> experts(const std::string& prefix, const std::string& projection,
                                               std::uint32_t num_experts, MatrixShape shape) override {
    auto weight = source_.experts(prefix, projection, num_experts, shape);
    if (!weight.ok()) return weight;
    const std::vector<std::uint32_t>& places = place(prefix.substr(0, prefix.size() - 8), num_experts);
    permute(*weight, places);
    permute(weight->scale2.data(), weight->scale2.size() * sizeof(float), places);
    permute(weight->input_scale.data(), weight->input_scale.size() * sizeof(float), places);
    ++num_permuted_;
    return weight;
  }

  [[nodiscard]] Result<std::vector<float>> vector(const std::string& name, std::uint64_t size) override {
    return source_.vector(name, size);
  }
  [[nodiscard]] Result<KvScales> kv_scales(const std::string& module) const override {
    return source_.kv_scales(module);
  }
  [[nodiscard]] Status finish() const override { return source_.finish(); }

  [[nodiscard]] int num_permuted() const { return num_permuted_; }

 private:
  // Another permutation, without a fixed point, for each layer.
  const std::vector<std::uint32_t>& place(const std::string& layer, std::uint32_t num_experts) {
    auto [at, is_new] = places_.try_emplace(layer, num_experts);
    if (is_new) {
      std::vector<std::uint32_t>& places = at->second;
      std::iota(places.begin(), places.end(), 0U);
      const std::size_t shift = 1 + (places_.size() - 1) % (num_experts - 1);
      std::rotate(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(shift), places.end());
    }
    return at->second;
  }

  prepare::WeightSource& source_;
  bool with_router_;
  int num_permuted_ = 0;
  std::map<std::string, std::vector<std::uint32_t>> places_;
};

enum class Order { kAsStored, kPermuted, kPermutedExpertsOnly };

std::vector<std::filesystem::path> moe_checkpoints() {
  std::vector<std::filesystem::path> directories;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(NVFP4_FIXTURES) / "parity")) {
    if (entry.path().filename().string().find("moe") != std::string::npos) directories.push_back(entry.path());
  }
  std::sort(directories.begin(), directories.end());
  return directories;
}

std::vector<float> logits_of(const std::filesystem::path& directory, Order order, Precision precision,
                             ActivationRequest request) {
  const auto checkpoint = Checkpoint::open(directory);
  EXPECT_TRUE(checkpoint.ok());
  const auto document = checkpoint::ConfigDocument::parse(checkpoint->config_json(), "config.json");
  EXPECT_TRUE(document.ok());
  prepare::CheckpointSource stored(*checkpoint, "x", request);
  PermutedSource permuted(stored, order == Order::kPermuted);
  prepare::WeightSource& source = order == Order::kAsStored ? static_cast<prepare::WeightSource&>(stored) : permuted;
  const models::ConfigReader reader(*document);
  WorkerPool pool(2);
  const auto inventory = plan::layers_of(*checkpoint, "model");
  EXPECT_TRUE(inventory.ok());
  plan::Deployment deployment;
  deployment.activations = request;
  auto plan = plan::make_plan(inventory->layers, plan::cpu_of("here", best_instruction_set(), 2), deployment);
  EXPECT_TRUE(plan.ok());
  models::PlannedKernels kernels(std::move(plan).value());
  const auto model = models::load_qwen3_moe(reader, {source, pool, kernels, precision});
  EXPECT_TRUE(model.ok()) << model.error().to_string();
  EXPECT_EQ(permuted.num_permuted() > 0, order != Order::kAsStored);
  const auto text = support::read_npy<std::int32_t>(directory / "tokens.npy");
  const std::vector<TokenId> tokens(text.values.begin(), text.values.begin() + 40);
  const bool exact = precision == Precision::kF32;
  support::ModelSession session(**model, exact ? layers::KvType::kF32 : layers::KvType::kBF16, pool);
  return session.feed(tokens);
}

class PermutedExperts : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(PermutedExperts, GiveTheSameBits) {
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    for (const ActivationRequest request : {ActivationRequest::kCheckpoint, ActivationRequest::kW4A16}) {
      const std::vector<float> expected = logits_of(GetParam(), Order::kAsStored, precision, request);
      EXPECT_EQ(logits_of(GetParam(), Order::kPermuted, precision, request), expected)
          << layers::precision_name(precision);
      EXPECT_NE(logits_of(GetParam(), Order::kPermutedExpertsOnly, precision, request), expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PermutedExperts, testing::ValuesIn(moe_checkpoints()),
                         [](const auto& directory) { return directory.param.filename().string(); });

}  // namespace
}  // namespace nvfp4
