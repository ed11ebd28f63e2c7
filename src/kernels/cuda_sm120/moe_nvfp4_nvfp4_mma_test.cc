// Experts by the FP4 tensor cores against the float64 reference.
#include "kernels/cuda_sm120/moe_nvfp4_nvfp4_mma.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/bf16.h"
#include "kernels/cuda_sm120/fp4_choice.h"
#include "support/emulated_size.h"
#include "support/fp4_device.h"
#include "support/gpu_moe.h"

namespace nvfp4::kernels::cuda_sm120 {
namespace {

using support::GpuMoe;
using support::GpuQueue;
using support::IdPattern;
using support::MoeSpec;
using support::MoeValues;
using support::Random;
using support::RandomMoe;

MoeProblem problem_of(ExpertFunction function, std::uint32_t hidden, std::uint32_t intermediate, std::uint32_t experts,
                      std::uint32_t top_k, Activation activation = Activation::kNvfp4Static) {
  MoeProblem problem = support::moe_problem(function, hidden, intermediate, experts, top_k);
  problem.activation = activation;
  return problem;
}

// Products of the layer.
std::uint64_t size_of(const MoeSpec& spec) {
  const MoeProblem& p = spec.problem;
  return std::uint64_t{spec.num_tokens} * p.top_k * p.hidden * p.intermediate;
}

class MoeFp4 : public support::Fp4DeviceTest {
 protected:
  [[nodiscard]] std::vector<Bf16Bits> run(const RandomMoe& moe, std::uint32_t first, std::uint32_t count) const {
    return GpuMoe(queue_, moe, DeviceWeightLayout::kBlockScaled16x64).run(moe_nvfp4_nvfp4_mma(), first, count);
  }
  void expect_close(const MoeSpec& spec) {
    if (support::is_for_gpus_only(size_of(spec), 1500000)) return;
    // BF16 rounds y by at most 2^-8 of it. Sums in float32 round a few inner values to another E2M1 number.
    constexpr double kTolerance = 0x1p-8 + 8e-3;
    const RandomMoe moe(spec, random_);
    const std::vector<double> expected = moe.reference();
    EXPECT_LE(reference::relative_error(run(moe, 0, spec.num_tokens), expected), kTolerance) << describe(spec);
  }

  GpuQueue queue_;
  Random random_{1};
};

std::vector<MoeProblem> problems() {
  std::vector<MoeProblem> all = {problem_of(ExpertFunction::kSilu, 128, 96, 6, 4),
                                 problem_of(ExpertFunction::kGeluTanh, 112, 80, 7, 3, Activation::kNvfp4Dynamic),
                                 problem_of(ExpertFunction::kSwigluOai, 272, 48, 4, 2),
                                 problem_of(ExpertFunction::kRelu2, 96, 272, 5, 2),
                                 problem_of(ExpertFunction::kSilu, 16, 16, 300, 32),
                                 problem_of(ExpertFunction::kRelu2, 144, 48, 1, 1, Activation::kNvfp4Dynamic)};
  all[1].shared_intermediate = 48;
  all[3].shared_intermediate = 32;
  all[2].num_global_experts = 9;
  all[0].router_weight_on_input = true;
  all[2].one_fc1_input_scale = true;
  return all;
}

// Around the edges of tiles of 8 to 128 tokens.
TEST_F(MoeFp4, MatchesTheReference) {
  for (const MoeProblem& problem : problems()) {
    for (const std::uint32_t num_tokens : {1U, 2U, 7U, 9U, 33U, 65U, 129U, 260U}) {
      if (problem.top_k == 32 && num_tokens > 33) continue;
      MoeSpec spec{problem, num_tokens};
      spec.ids = num_tokens % 2 == 0 ? IdPattern::kDistinct : IdPattern::kHoles;
      spec.has_shared_weights = num_tokens % 2 == 0;
      expect_close(spec);
    }
  }
}

TEST_F(MoeFp4, ServesAnyIds) {
  for (const IdPattern ids : {IdPattern::kFew, IdPattern::kOne, IdPattern::kDuplicates, IdPattern::kHoles}) {
    for (const std::uint32_t num_tokens : {1U, 6U, 50U, 200U}) {
      MoeSpec spec{problem_of(ExpertFunction::kSilu, 80, 48, 10, 3), num_tokens};
      spec.ids = ids;
      expect_close(spec);
    }
  }
}

TEST_F(MoeFp4, WithoutExpertsAnswersZero) {
  for (const std::uint32_t num_tokens : {1U, 40U}) {
    MoeSpec spec{problem_of(ExpertFunction::kSilu, 128, 64, 8, 4), num_tokens};
    spec.ids = IdPattern::kNone;
    const RandomMoe moe(spec, random_);
    EXPECT_TRUE(run(moe, 0, num_tokens) == std::vector<Bf16Bits>(std::size_t{num_tokens} * 128, 0));
  }
}

// Both producers' rules, scales of each expert or of all, weights on the input, and a shared expert.
TEST_F(MoeFp4, EveryKindOfScale) {
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t kind : {0U, 1U, 2U, 3U}) {
        MoeSpec spec{problem_of(ExpertFunction::kSilu, 80, 48, 5, 3, activation), 11 + 30 * (kind / 2)};
        spec.problem.input_rule = rule;
        spec.problem.one_fc1_input_scale = kind % 2 == 1;
        spec.problem.router_weight_on_input = kind == 2;
        spec.problem.shared_intermediate = kind == 1 ? 64 : 0;
        expect_close(spec);
      }
    }
  }
}

// h is rounded in FC1 as a quantiser rounds it: else y would have other bits.
TEST_F(MoeFp4, ComputesExactNumbersExactly) {
  for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
    for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
      for (const std::uint32_t num_tokens : {1U, 9U, 64U}) {
        MoeSpec spec{problem_of(function, 160, 112, 3, 2), num_tokens};
        spec.problem.input_rule = rule;
        spec.values = MoeValues::kExact;
        const RandomMoe moe(spec, random_);
        std::vector<Bf16Bits> expected;
        for (const double y : moe.reference()) expected.push_back(encode_bf16(static_cast<float>(y)));
        EXPECT_TRUE(run(moe, 0, num_tokens) == expected) << describe(spec);
      }
    }
  }
}

TEST_F(MoeFp4, ATokensBitsDoNotDependOnOthers) {
  MoeSpec spec{problem_of(ExpertFunction::kSilu, 272, 48, 4, 2), support::kIsEmulated ? 90U : 600U};
  spec.problem.batch_invariant = true;
  const RandomMoe moe(spec, random_);
  const std::vector<Bf16Bits> together = run(moe, 0, spec.num_tokens);
  for (const auto& [first, count] : {std::pair{0U, 1U}, {17U, 30U}}) {
    const std::vector<Bf16Bits> alone = run(moe, first, count);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + first * std::ptrdiff_t{272})) << first;
  }
}

// As many tokens as a plan takes at once, one piece after the other.
TEST_F(MoeFp4, PiecesOfManyTokensGiveTheSameBits) {
  MoeSpec spec{problem_of(ExpertFunction::kSilu, 80, 48, 4, 2), 29};
  spec.problem.batch_invariant = true;
  spec.problem.shared_intermediate = 32;
  spec.has_shared_weights = true;
  const RandomMoe moe(spec, random_);
  const GpuMoe gpu(queue_, moe, DeviceWeightLayout::kBlockScaled16x64);
  const std::vector<Bf16Bits> together = gpu.run(moe_nvfp4_nvfp4_mma(), 0, 29);
  const auto in_pieces = gpu.run(moe_nvfp4_nvfp4_mma(), 0, 29, [](DeviceMoePlan& plan) { plan.sizes.choice[0] = 9; });
  EXPECT_TRUE(in_pieces == together);
  // Experts of half a gigabyte of partial results, without it.
  DeviceCaps caps;
  caps.num_sms = 170;
  const auto plan = moe_nvfp4_nvfp4_mma().plan(problem_of(ExpertFunction::kSilu, 2048, 768, 128, 8), caps, 8192);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->sizes.choice[0], 4096U);
  EXPECT_LT(plan->sizes.workspace_bytes, std::size_t{400} << 20U);
}

TEST_F(MoeFp4, KeepsToTheEndsOfBf16) {
  for (const int exponent : {-100, 100}) {
    MoeSpec spec{problem_of(ExpertFunction::kSilu, 128, 64, 4, 2), 12};
    spec.x_exponent = exponent;
    expect_close(spec);
  }
}

TEST_F(MoeFp4, RefusesWhatItCannot) {
  DeviceCaps caps;
  caps.sm = 120;
  caps.num_sms = 170;
  caps.shared_bytes_per_block = 101376;
  MoeProblem problem = problem_of(ExpertFunction::kSilu, 2048, 768, 128, 8);
  const auto refusal = [&] { return moe_nvfp4_nvfp4_mma().refusal(problem, caps, 8192); };
  EXPECT_EQ(refusal(), "");
  problem.activation = Activation::k16Bit;
  EXPECT_NE(refusal(), "");
  problem.activation = Activation::kNvfp4Dynamic;
  problem.hidden = 32784;
  EXPECT_NE(refusal(), "");
  problem.hidden = 2048;
  caps.sm = 89;
  EXPECT_NE(refusal(), "");
  caps.sm = 121;
  EXPECT_EQ(refusal(), "");
}

// Every shape is one that some number of rows leads to.
TEST(MoeFp4Shapes, AllAreUsed) {
  for (std::uint32_t shape_idx = 0; shape_idx < kFp4Shapes.size(); ++shape_idx) {
    bool is_used = false;
    for (const std::uint32_t num_rows : {2U, 40U, 100U, 300U}) {
      is_used = is_used || choose_expert_shape(num_rows, 4, false) == shape_idx;
    }
    EXPECT_TRUE(is_used) << shape_idx;
  }
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm120
