#include "kernels/catalogue/device_offers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "device/known_devices.h"
#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::kernels {
namespace {

using testing::HasSubstr;

DeviceCaps caps_of(std::string_view key) { return find_known_device(key)->caps; }

MoeProblem experts(Activation activation = Activation::k16Bit) {
  MoeProblem problem;
  problem.activation = activation;
  problem.hidden = 2048;
  problem.intermediate = 768;
  problem.num_experts = 128;
  problem.top_k = 8;
  problem.one_fc1_input_scale = true;
  return problem;
}
DeviceLinearProblem linear(WeightFormat weight = WeightFormat::kNvfp4, Activation activation = Activation::k16Bit) {
  DeviceLinearProblem problem;
  problem.weight = weight;
  problem.activation = activation;
  problem.out_features = 4096;
  problem.in_features = 2048;
  return problem;
}

template <class Problem>
std::string chosen(const Problem& problem, std::string_view device, std::uint32_t tokens, std::string_view name = {}) {
  const auto offer = choose_offer(problem, caps_of(device), tokens, "layer", name);
  return offer ? std::string((*offer)->name) : "none";
}
template <class Offer, class Problem>
std::string refusal(std::span<const Offer> offers, std::string_view name, const Problem& problem,
                    const DeviceCaps& caps, std::uint32_t tokens) {
  for (const Offer& offer : offers) {
    if (offer.name == name) return offer.refusal(problem, caps, tokens);
  }
  return "no such offer";
}

template <class Kernel, class Offer>
void expect_same_list(std::span<const Kernel> kernels, std::span<const Offer> offers) {
  if (kernels.empty()) return;  // a build without CUDA
  ASSERT_EQ(kernels.size(), offers.size());
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    EXPECT_EQ(kernels[i].name, offers[i].name);
    EXPECT_EQ(kernels[i].nvfp4_layout, offers[i].nvfp4_layout) << kernels[i].name;
  }
}

TEST(DeviceOffers, AreTheKernelsOfTheCatalogueInItsOrder) {
  expect_same_list(device_moe_kernels(), device_moe_offers());
  expect_same_list(device_linear_kernels(), device_linear_offers());
}

// Kernels whose refusal is not the offer's own function say the same.
TEST(DeviceOffers, SayWhatTheKernelsSay) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::uint64_t lost_bytes : {0ULL, 2304ULL, 2336ULL, 20480ULL, 131072ULL, 200000ULL}) {
      DeviceCaps caps = device.caps;
      caps.shared_bytes_per_block -= std::min(lost_bytes, caps.shared_bytes_per_block);
      for (const std::uint32_t size : {16U, 704U, 2048U, 7168U, 14336U, 28672U, 65536U}) {
        for (const std::uint32_t tokens : {1U, 2U, 8U, 9U, 33U, 64U, 65U}) {
          DeviceLinearProblem dense = linear();
          dense.in_features = size;
          for (const DeviceLinearKernel& kernel : device_linear_kernels()) {
            EXPECT_EQ(kernel.refusal(dense, caps, tokens),
                      refusal(device_linear_offers(), kernel.name, dense, caps, tokens));
          }
          MoeProblem moe = experts(size > 2048 ? Activation::kNvfp4Static : Activation::k16Bit);
          moe.hidden = size;
          moe.intermediate = size / 2 / 16 * 16 + 16;
          for (const DeviceMoeKernel& kernel : device_moe_kernels()) {
            EXPECT_EQ(kernel.refusal(moe, caps, tokens), refusal(device_moe_offers(), kernel.name, moe, caps, tokens));
          }
        }
      }
    }
  }
}

TEST(DeviceOffers, ThresholdsOfHopper) {
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    EXPECT_EQ(chosen(experts(activation), "sm90", 1), "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(experts(activation), "sm90", 63), "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(experts(activation), "sm90", 64), "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(experts(activation), "sm90", 65), "moe_nvfp4_bf16_wgmma");
    EXPECT_EQ(chosen(linear(WeightFormat::kNvfp4, activation), "sm90", 8), "linear_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(linear(WeightFormat::kNvfp4, activation), "sm90", 9), "linear_nvfp4_bf16_wgmma");
  }
}

// Rows that leave the kernel for few tokens too little shared memory for weights.
TEST(DeviceOffers, FewTokensWithWideRowsGoElsewhere) {
  DeviceLinearProblem problem = linear();
  for (const auto& [features, last] : {std::pair{14336U, 4U}, {5120U, 8U}}) {
    problem.in_features = features;
    EXPECT_EQ(chosen(problem, "sm90", last), "linear_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(problem, "sm90", last + 1), "linear_nvfp4_bf16_wgmma");
  }
  problem.out_features = 5120;
  for (const auto& [features, last] : {std::pair{5120U, 7U}, {17408U, 2U}, {28672U, 2U}, {65536U, 1U}}) {
    problem.in_features = features;
    EXPECT_EQ(chosen(problem, "sm90", last), "linear_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(chosen(problem, "sm90", last + 1), "linear_nvfp4_bf16_wgmma");
    EXPECT_EQ(chosen(problem, "sm90", last, "linear_nvfp4_bf16_wgmma"), "linear_nvfp4_bf16_wgmma");
  }
}

// W4A16 weights never get a kernel that rounds activations; W4A4 ones get NVFP4 activations everywhere.
TEST(DeviceOffers, SixteenBitActivationsKeepToTheirKernels) {
  for (const std::string_view device : {"sm120", "sm121"}) {
    for (const std::uint32_t tokens : {1U, 16U, 64U, 4096U}) {
      EXPECT_EQ(chosen(experts(), device, tokens), "moe_nvfp4_bf16_mma");
      EXPECT_EQ(chosen(linear(), device, tokens), "linear_nvfp4_bf16_mma");
      EXPECT_EQ(chosen(experts(Activation::kNvfp4Static), device, tokens), "moe_nvfp4_nvfp4_mma");
      EXPECT_EQ(chosen(linear(WeightFormat::kNvfp4, Activation::kNvfp4Dynamic), device, tokens),
                "linear_nvfp4_nvfp4_mma");
    }
    EXPECT_EQ(chosen(linear(), device, 1, "linear_nvfp4_nvfp4_mma"), "none");
    EXPECT_EQ(chosen(experts(), device, 1, "moe_nvfp4_nvfp4_mma"), "none");
  }
}

TEST(DeviceOffers, EveryGenerationSinceSm80HasAKernelForEveryScheme) {
  for (const KnownDevice& device : known_devices()) {
    for (const std::uint32_t tokens : {1U, 8192U}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
        EXPECT_NE(chosen(experts(activation), device.key, tokens), "none") << device.key;
        EXPECT_NE(chosen(linear(WeightFormat::kNvfp4, activation), device.key, tokens), "none") << device.key;
      }
      EXPECT_EQ(chosen(linear(WeightFormat::kFp8, Activation::kFp8Static), device.key, tokens), "linear_fp8_bf16_mma");
      EXPECT_EQ(chosen(linear(WeightFormat::kBF16), device.key, tokens), "linear_bf16_mma");
    }
  }
}

TEST(DeviceOffers, OneGenerationEarlierHasNone) {
  DeviceCaps caps = caps_of("sm80");
  caps.sm = 75;
  EXPECT_FALSE(choose_offer(linear(), caps, 1, "layer"));
  EXPECT_FALSE(choose_offer(experts(), caps, 1, "layer"));
}

TEST(DeviceOffers, SharedMemoryDecidesAtItsEdge) {
  DeviceCaps caps = caps_of("sm90");
  caps.shared_bytes_per_block = 229472;
  EXPECT_EQ(refusal(device_linear_offers(), "linear_nvfp4_bf16_wgmma", linear(), caps, 16), "");
  --caps.shared_bytes_per_block;
  EXPECT_THAT(refusal(device_linear_offers(), "linear_nvfp4_bf16_wgmma", linear(), caps, 16),
              HasSubstr("shared memory"));
  caps.shared_bytes_per_block = 229472;
  EXPECT_EQ(refusal(device_moe_offers(), "moe_nvfp4_bf16_wgmma", experts(), caps, 16), "");
  --caps.shared_bytes_per_block;
  EXPECT_THAT(refusal(device_moe_offers(), "moe_nvfp4_bf16_wgmma", experts(), caps, 16), HasSubstr("shared memory"));
}

TEST(DeviceOffers, BatchInvarianceLeavesOutWhatDependsOnTheBatch) {
  MoeProblem moe = experts();
  moe.batch_invariant = true;
  EXPECT_EQ(chosen(moe, "sm90", 1), "moe_nvfp4_bf16_wgmma");
  DeviceLinearProblem dense = linear();
  dense.batch_invariant = true;
  EXPECT_EQ(chosen(dense, "sm90", 1), "linear_nvfp4_bf16_wgmma");
}

TEST(DeviceOffers, AnUnknownNameSuggestsTheNearest) {
  const auto offer = choose_offer(experts(), caps_of("sm90"), 1, "layer", "moe_nvfp4_bf16_wgma");
  ASSERT_FALSE(offer);
  EXPECT_THAT(offer.error().to_string(), HasSubstr("did you mean \"moe_nvfp4_bf16_wgmma\"?"));
}

TEST(DeviceOffers, OutlinesSayTheWorkspace) {
  const DeviceCaps caps = caps_of("sm90");
  for (const DeviceMoeOffer& offer : device_moe_offers()) {
    if (!offer.refusal(experts(), caps, 8).empty()) continue;
    const DeviceMoePlan few = offer.outline(experts(), caps, 1);
    const DeviceMoePlan more = offer.outline(experts(), caps, 8);
    EXPECT_GT(few.sizes.workspace_bytes, 0U) << offer.name;
    EXPECT_GT(more.sizes.workspace_bytes, few.sizes.workspace_bytes) << offer.name;
    EXPECT_EQ(more.sizes.max_tokens, 8U);
  }
}

// Places in a workspace are part of what kernels are: sizes of a layer with a shared expert and one without.
TEST(DeviceOffers, WorkspacesOfExperts) {
  MoeProblem shared = experts(Activation::kNvfp4Dynamic);
  shared.shared_intermediate = 528;
  MoeProblem own = experts(Activation::kNvfp4Static);
  own.one_fc1_input_scale = false;
  const auto sizes = [](const MoeProblem& problem) {
    std::vector<std::size_t> out;
    for (const DeviceMoeOffer& offer : device_moe_offers()) {
      for (const std::uint32_t tokens : {1U, 37U, 8192U}) {
        out.push_back(offer.outline(problem, caps_of("sm90"), tokens).sizes.workspace_bytes);
      }
    }
    return out;
  };
  using testing::ElementsAre;
  EXPECT_THAT(sizes(experts()), ElementsAre(78080, 2880768, 637796352, 1652480, 4457472, 371491584, 72192, 2599680,
                                            287621888, 79360, 2883328, 638092032));
  EXPECT_THAT(sizes(shared), ElementsAre(123648, 4515840, 999653376, 125184, 4519680, 731775744, 109824, 3951104,
                                         437142272, 124928, 4518400, 999949056));
  EXPECT_THAT(sizes(own), ElementsAre(135936, 5005056, 1108082688, 1685504, 5671168, 640189184, 80128, 2898944,
                                      320766720, 137216, 5007616, 1108378368));
}

}  // namespace
}  // namespace nvfp4::kernels
