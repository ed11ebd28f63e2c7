// Mixture-of-experts layers of any number of tokens against the float64 reference.
#include "kernels/cuda_sm80/moe_nvfp4_bf16_mma.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "formats/bf16.h"
#include "kernels/cuda_sm80/fragment_choice.h"
#include "support/emulated_size.h"
#include "support/gpu_moe.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

using support::GpuMoe;
using support::GpuQueue;
using support::IdPattern;
using support::moe_problem;
using support::MoeSpec;
using support::MoeValues;
using support::Random;
using support::RandomMoe;

std::vector<Bf16Bits> run(const GpuQueue& queue, const RandomMoe& moe) {
  return GpuMoe(queue, moe).run(moe_nvfp4_bf16_mma(), 0, moe.spec().num_tokens);
}

// BF16 rounds y by at most 2^-8 of it. Sums in float32 round a few inner values to their other neighbour: a few steps
// of 2^-7, or of E2M1, among many.
double tolerance(const MoeSpec& spec) { return 0x1p-8 + (spec.problem.activation == Activation::k16Bit ? 8e-4 : 8e-3); }

void expect_close(const GpuQueue& queue, const MoeSpec& spec, Random& random) {
  const RandomMoe moe(spec, random);
  const std::vector<double> expected = moe.reference();
  EXPECT_LE(reference::relative_error(run(queue, moe), expected), tolerance(spec)) << describe(spec);
}

std::vector<MoeProblem> problems() {
  std::vector<MoeProblem> all = {
      moe_problem(ExpertFunction::kSilu, 256, 192, 12, 4),      moe_problem(ExpertFunction::kGeluTanh, 208, 112, 20, 5),
      moe_problem(ExpertFunction::kSwigluOai, 1040, 336, 6, 2), moe_problem(ExpertFunction::kRelu2, 336, 1040, 7, 6),
      moe_problem(ExpertFunction::kSilu, 16, 16, 300, 32),      moe_problem(ExpertFunction::kRelu2, 528, 48, 1, 1)};
  all[1].shared_intermediate = 80;
  all[3].shared_intermediate = 32;
  all[2].num_global_experts = 9;
  all[0].router_weight_on_input = true;
  return all;
}

// What a product of one token and expert costs, of all.
std::uint64_t size_of(const MoeProblem& p, std::uint32_t num_tokens) {
  return std::uint64_t{num_tokens} * p.top_k * p.hidden * p.intermediate;
}

// Around the edges of tiles of 8 to 128 tokens, of which experts have few and many.
TEST(MoeMma, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const MoeProblem& problem : problems()) {
    for (const std::uint32_t num_tokens : {1U, 7U, 8U, 33U, 64U, 65U, 129U, 257U, 520U}) {
      if (problem.top_k == 32 && num_tokens > 65) continue;
      if (support::is_for_gpus_only(size_of(problem, num_tokens), 120000)) continue;
      MoeSpec spec{problem, num_tokens};
      spec.ids = num_tokens % 2 == 0 ? IdPattern::kDistinct : IdPattern::kHoles;
      spec.has_shared_weights = num_tokens % 2 == 0;
      expect_close(queue, spec, random);
    }
  }
}

// Ragged sizes in every shape: experts have about 3, 10, 20, 50 and 200 rows.
TEST(MoeMma, ServesAnyNumberOfRowsOfAnExpert) {
  const GpuQueue queue;
  Random random(9);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const auto& [num_tokens, num_experts] : {std::pair{6U, 4U}, {20U, 4U}, {40U, 4U}, {50U, 2U}, {200U, 1U}}) {
      MoeSpec spec{moe_problem(function, 80, 48, num_experts, std::min(num_experts, 2U)), num_tokens};
      if (num_tokens == 200) spec.problem.hidden = spec.problem.intermediate = support::kIsEmulated ? 16 : 80;
      spec.problem.shared_intermediate = 16;
      spec.ids = IdPattern::kHoles;
      expect_close(queue, spec, random);
    }
  }
}

TEST(MoeMma, ServesAnyIds) {
  const GpuQueue queue;
  Random random(2);
  for (const IdPattern ids : {IdPattern::kFew, IdPattern::kOne, IdPattern::kDuplicates, IdPattern::kHoles}) {
    for (const std::uint32_t num_tokens : {1U, 25U, 100U, 700U}) {
      MoeSpec spec{moe_problem(ExpertFunction::kSilu, 272, 144, 10, 3), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(ExpertFunction::kSilu, 80, 32, 10, 3);
      if (support::is_for_gpus_only(num_tokens, 25)) continue;
      spec.ids = ids;
      expect_close(queue, spec, random);
    }
  }
}

// h and y are rounded to BF16 once each, by 2^-8 / sqrt(6) in the mean: together 2.3e-3.
TEST(MoeMma, ALayersErrorIsThatOfTwoRoundings) {
  const GpuQueue queue;
  Random random(10);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {16U, 100U}) {
      if (support::is_for_gpus_only(num_tokens, 16)) continue;
      MoeSpec spec{moe_problem(function, 1024, 512, 16, 4), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(function, 208, 80, 4, 2);
      const RandomMoe moe(spec, random);
      EXPECT_LE(reference::relative_error(run(queue, moe), moe.reference()), 2.5e-3) << describe(moe.spec());
    }
  }
}

TEST(MoeMma, WithoutExpertsAnswersZero) {
  const GpuQueue queue;
  Random random(4);
  MoeSpec spec{moe_problem(ExpertFunction::kSilu, 128, 64, 8, 4), 90};
  spec.ids = IdPattern::kNone;
  const RandomMoe moe(spec, random);
  EXPECT_TRUE(run(queue, moe) == std::vector<Bf16Bits>(std::size_t{90} * 128, 0));
}

TEST(MoeMma, RoundsActivationsToNvfp4) {
  const GpuQueue queue;
  Random random(5);
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_tokens : {5U, 90U, 300U}) {
        if (support::is_for_gpus_only(num_tokens, 90)) continue;
        MoeSpec spec{moe_problem(ExpertFunction::kSilu, 528, 208, 9, 3), num_tokens};
        if (support::kIsEmulated) spec = MoeSpec{moe_problem(ExpertFunction::kSilu, 48, 32, 6, 2), num_tokens / 3 + 1};
        spec.problem.activation = activation;
        spec.problem.input_rule = rule;
        spec.problem.one_fc1_input_scale = num_tokens == 5;
        spec.problem.router_weight_on_input = num_tokens != 5 && rule == QuantizerRule::kModelOpt;
        spec.problem.shared_intermediate = num_tokens == 90 ? 64 : 0;
        expect_close(queue, spec, random);
      }
    }
  }
}

TEST(MoeMma, ComputesExactNumbersExactly) {
  const GpuQueue queue;
  Random random(6);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {9U, 64U, 200U}) {
      MoeSpec spec{moe_problem(function, 320, 176, 14, 4), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(function, 80, 48, 14, 4);
      if (support::is_for_gpus_only(num_tokens, 64)) continue;
      spec.values = MoeValues::kExact;
      const RandomMoe moe(spec, random);
      std::vector<Bf16Bits> expected;
      for (const double y : moe.reference()) expected.push_back(encode_bf16(static_cast<float>(y)));
      EXPECT_TRUE(run(queue, moe) == expected) << describe(spec);
    }
  }
}

TEST(MoeMma, ATokensBitsDoNotDependOnOthers) {
  const GpuQueue queue;
  Random random(7);
  constexpr std::uint32_t kHidden = support::kIsEmulated ? 80 : 512;
  constexpr std::uint32_t kTokens = support::kIsEmulated ? 160 : 600;
  MoeSpec spec{moe_problem(ExpertFunction::kSilu, kHidden, support::kIsEmulated ? 16 : 128, 4, 2), kTokens};
  spec.problem.batch_invariant = true;
  const RandomMoe moe(spec, random);
  const GpuMoe gpu(queue, moe);
  const std::vector<Bf16Bits> together = gpu.run(moe_nvfp4_bf16_mma(), 0, kTokens);
  for (const auto& [first, count] : {std::pair{0U, 1U}, {17U, 30U}, {20U, kTokens - 40}}) {
    const std::vector<Bf16Bits> alone = gpu.run(moe_nvfp4_bf16_mma(), first, count);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + first * std::ptrdiff_t{kHidden})) << first;
  }
}

TEST(MoeMma, KeepsToTheEndsOfBf16) {
  const GpuQueue queue;
  Random random(8);
  for (const int exponent : {-100, 100}) {
    MoeSpec spec{moe_problem(ExpertFunction::kSilu, 256, 128, 8, 2), 150};
    if (support::kIsEmulated) spec = MoeSpec{moe_problem(ExpertFunction::kSilu, 80, 32, 4, 2), 20};
    spec.x_exponent = exponent;
    expect_close(queue, spec, random);
  }
}

TEST(MoeMmaChoice, EveryShapeServes) {
  std::vector<bool> is_used(kFragmentShapes.size());
  std::fill_n(is_used.begin(), kFirstExpertShape, true);  // of linear layers
  for (const std::uint32_t num_rows : {1U, 6U, 512U, 1300U, 2500U, 12000U, 60000U}) {
    is_used[choose_expert_shape({num_rows, 128, 96, 132, false})] = true;
    EXPECT_FALSE(kFragmentShapes[choose_expert_shape({num_rows, 128, 96, 132, true})].shares_k());
  }
  EXPECT_EQ(is_used, std::vector<bool>(kFragmentShapes.size(), true));
}

TEST(MoeMmaRefusal, SaysWhatIsNotPossible) {
  DeviceCaps caps;
  caps.num_sms = 108;
  caps.shared_bytes_per_block = 101376;
  const MoeProblem problem = moe_problem(ExpertFunction::kSilu, 2048, 768, 128, 8);
  const auto refusal = moe_nvfp4_bf16_mma().refusal;
  for (const std::uint32_t sm : {80U, 86U, 89U, 90U, 120U, 121U}) {
    caps.sm = sm;
    EXPECT_EQ(refusal(problem, caps, 8192), "");
  }
  EXPECT_NE(refusal(problem, caps, 1U << 30U), "");
  MoeProblem wide = problem;
  wide.activation = Activation::kNvfp4Dynamic;
  wide.intermediate = 65536;
  EXPECT_NE(refusal(wide, caps, 1).find("65536"), std::string::npos);
  caps.sm = 75;
  EXPECT_NE(refusal(problem, caps, 1), "");
  caps.sm = 80;
  caps.shared_bytes_per_block = 49152;
  EXPECT_NE(refusal(problem, caps, 1).find("49152"), std::string::npos);
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm80
