// What plans know of Hopper's kernels for few tokens is what these say themselves.
#include <gtest/gtest.h>

#include <cstdint>

#include "kernels/cuda_sm90/decode_offers.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/moe_decode.h"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kTokens[] = {1, 2, 4, 7, 8, 9, 16, 17, 33, 64, 65};

DeviceCaps hopper(std::uint64_t shared_bytes) {
  DeviceCaps caps;
  caps.name = "NVIDIA H200";
  caps.sm = 90;
  caps.num_sms = 132;
  caps.shared_bytes_per_sm = 233472;
  caps.shared_bytes_per_block = shared_bytes;
  return caps;
}

template <class Problem, class Offer, class Kernel>
void expect_same(const Problem& problem, const DeviceCaps& caps, std::uint32_t tokens, const Offer& offer,
                 const Kernel& kernel) {
  const std::string refusal = kernel.refusal(problem, caps, tokens);
  EXPECT_EQ(offer.refusal(problem, caps, tokens), refusal) << tokens;
  if (!refusal.empty()) return;
  const auto plan = kernel.plan(problem, caps, tokens);
  ASSERT_TRUE(plan) << plan.error().to_string();
  const auto outline = offer.outline(problem, caps, tokens);
  EXPECT_EQ(outline.sizes.workspace_bytes, plan->sizes.workspace_bytes) << tokens;
  EXPECT_EQ(outline.sizes.zeroed_bytes, plan->sizes.zeroed_bytes);
}

TEST(DecodeOffers, AreTheKernels) {
  const auto& linear = cuda_sm90::linear_nvfp4_bf16_mma_bulk_offer();
  EXPECT_EQ(linear.name, cuda_sm90::linear_nvfp4_bf16_mma_bulk().name);
  EXPECT_EQ(linear.best_max_tokens, cuda_sm90::linear_nvfp4_bf16_mma_bulk().best_max_tokens);
  EXPECT_EQ(linear.nvfp4_layout, cuda_sm90::linear_nvfp4_bf16_mma_bulk().nvfp4_layout);
  const auto& moe = cuda_sm90::moe_nvfp4_bf16_mma_bulk_offer();
  EXPECT_EQ(moe.name, cuda_sm90::moe_nvfp4_bf16_mma_bulk().name);
  EXPECT_EQ(moe.best_max_tokens, cuda_sm90::moe_nvfp4_bf16_mma_bulk().best_max_tokens);
}

TEST(DecodeOffers, OfLinearLayersSayTheSame) {
  for (const std::uint64_t shared : {232448ULL, 200000ULL, 101376ULL, 30000ULL}) {
    for (const std::uint32_t features : {64U, 2048U, 2056U, 7168U, 16384U, 17408U, 25600U, 28672U, 32784U, 114688U}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static}) {
        for (const std::uint32_t tokens : kTokens) {
          DeviceLinearProblem problem;
          problem.activation = activation;
          problem.out_features = features % 4096 + 16;
          problem.in_features = features;
          expect_same(problem, hopper(shared), tokens, cuda_sm90::linear_nvfp4_bf16_mma_bulk_offer(),
                      cuda_sm90::linear_nvfp4_bf16_mma_bulk());
        }
      }
    }
  }
}

TEST(DecodeOffers, OfExpertsSayTheSame) {
  for (const std::uint64_t shared : {232448ULL, 101376ULL, 30000ULL}) {
    for (const std::uint32_t hidden : {64U, 2048U, 2056U, 7168U, 14336U, 32784U}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
        for (const std::uint32_t tokens : kTokens) {
          MoeProblem problem;
          problem.activation = activation;
          problem.hidden = hidden;
          problem.intermediate = hidden / 2 / 16 * 16 + 16;
          problem.num_experts = tokens % 2 == 0 ? 8 : 256;
          problem.top_k = tokens % 3 == 0 ? 2 : 8;
          problem.shared_intermediate = tokens % 2 == 0 ? 0 : 512;
          problem.one_fc1_input_scale = hidden % 128 == 0;
          problem.router_weight_on_input = hidden == 14336;
          expect_same(problem, hopper(shared), tokens, cuda_sm90::moe_nvfp4_bf16_mma_bulk_offer(),
                      cuda_sm90::moe_nvfp4_bf16_mma_bulk());
        }
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
