// The kernels for many tokens against the float64 reference.
#include "kernels/cuda_sm90/moe_nvfp4_bf16_wgmma.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/bf16.h"
#include "support/emulated_size.h"
#include "support/gpu_moe.h"

namespace nvfp4::kernels::cuda_sm90 {
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
  return GpuMoe(queue, moe).run(moe_nvfp4_bf16_wgmma(), 0, moe.spec().num_tokens);
}

// BF16 rounds y by at most 2^-8 of it. Sums in float32 round a few inner values to their other neighbour: a few steps
// of 2^-7, or of E2M1, among many. Partial results in 16 bits add 2^-11 of each.
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
  if (support::kIsEmulated) {
    all = {
        moe_problem(ExpertFunction::kSilu, 80, 48, 12, 4),      moe_problem(ExpertFunction::kGeluTanh, 48, 112, 20, 5),
        moe_problem(ExpertFunction::kSwigluOai, 272, 80, 6, 2), moe_problem(ExpertFunction::kRelu2, 80, 272, 7, 6),
        moe_problem(ExpertFunction::kSilu, 16, 16, 300, 32),    moe_problem(ExpertFunction::kRelu2, 144, 48, 1, 1)};
  }
  all[1].shared_intermediate = 80;
  all[3].shared_intermediate = 32;
  all[2].num_global_experts = 9;
  all[0].router_weight_on_input = true;
  return all;
}

// Around the edges of tiles of 8 to 256 tokens.
TEST(MoeWgmma, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const MoeProblem& problem : problems()) {
    for (const std::uint32_t num_tokens : {1U, 7U, 8U, 33U, 64U, 65U, 129U, 257U, 520U}) {
      if (problem.top_k == 32 && num_tokens > 65) continue;
      if (support::kIsEmulated && num_tokens > (problem.num_experts == 1 ? 257 : problem.top_k == 32 ? 8 : 65))
        continue;
      MoeSpec spec{problem, num_tokens};
      spec.ids = num_tokens % 2 == 0 ? IdPattern::kDistinct : IdPattern::kHoles;
      spec.has_shared_weights = num_tokens % 2 == 0;
      expect_close(queue, spec, random);
    }
  }
}

// h and y are rounded to BF16 once each, by 2^-8 / sqrt(6) in the mean: together 2.3e-3.
TEST(MoeWgmma, ALayersErrorIsThatOfTwoRoundings) {
  const GpuQueue queue;
  Random random(9);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {16U, 100U}) {
      MoeSpec spec{moe_problem(function, 1024, 512, 16, 4), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(function, 528, 272, 4, 4);
      const RandomMoe moe(spec, random);
      EXPECT_LE(reference::relative_error(run(queue, moe), moe.reference()), 2.5e-3) << describe(moe.spec());
    }
  }
}

TEST(MoeWgmma, ServesAnyIds) {
  const GpuQueue queue;
  Random random(2);
  for (const IdPattern ids : {IdPattern::kFew, IdPattern::kOne, IdPattern::kDuplicates, IdPattern::kHoles}) {
    for (const std::uint32_t num_tokens : {1U, 100U, support::kIsEmulated ? 200U : 700U}) {
      MoeSpec spec{moe_problem(ExpertFunction::kSilu, 272, 144, 10, 3), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(ExpertFunction::kSilu, 48, 32, 5, 2);
      spec.ids = ids;
      expect_close(queue, spec, random);
    }
  }
}

// More partial results than are kept as float32.
TEST(MoeWgmma, PairsPartialResults) {
  const GpuQueue queue;
  Random random(3);
  if (support::kIsEmulated) GTEST_SKIP() << "40 MiB of partial results take minutes";
  MoeSpec spec{moe_problem(ExpertFunction::kSilu, 1024, 64, 8, 8), 1500};
  spec.problem.shared_intermediate = 32;
  expect_close(queue, spec, random);
}

TEST(MoeWgmma, WithoutExpertsAnswersZero) {
  const GpuQueue queue;
  Random random(4);
  MoeSpec spec{moe_problem(ExpertFunction::kSilu, 128, 64, 8, 4), 90};
  spec.ids = IdPattern::kNone;
  const RandomMoe moe(spec, random);
  EXPECT_TRUE(run(queue, moe) == std::vector<Bf16Bits>(std::size_t{90} * 128, 0));
}

TEST(MoeWgmma, RoundsActivationsToNvfp4) {
  const GpuQueue queue;
  Random random(5);
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_tokens : {5U, 90U, 300U}) {
        MoeSpec spec{moe_problem(ExpertFunction::kSilu, 528, 208, 9, 3), num_tokens};
        if (support::kIsEmulated) spec = {moe_problem(ExpertFunction::kSilu, 80, 48, 4, 2), num_tokens / 2 + 1};
        spec.problem.activation = activation;
        spec.problem.input_rule = rule;
        spec.problem.one_fc1_input_scale = num_tokens == 5;
        spec.problem.router_weight_on_input = num_tokens == 300;
        spec.problem.shared_intermediate = num_tokens == 90 ? 64 : 0;
        expect_close(queue, spec, random);
      }
    }
  }
}

TEST(MoeWgmma, ComputesExactNumbersExactly) {
  const GpuQueue queue;
  Random random(6);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {9U, 64U, 200U}) {
      MoeSpec spec{moe_problem(function, 320, 176, 14, 4), num_tokens};
      if (support::kIsEmulated) spec.problem = moe_problem(function, 80, 48, 6, 2);
      spec.values = MoeValues::kExact;
      const RandomMoe moe(spec, random);
      std::vector<Bf16Bits> expected;
      for (const double y : moe.reference()) expected.push_back(encode_bf16(static_cast<float>(y)));
      EXPECT_TRUE(run(queue, moe) == expected) << describe(spec);
    }
  }
}

TEST(MoeWgmma, ATokensBitsDoNotDependOnOthers) {
  const GpuQueue queue;
  Random random(7);
  constexpr std::uint32_t kHidden = support::kIsEmulated ? 80 : 512;
  MoeSpec spec{moe_problem(ExpertFunction::kSilu, kHidden, support::kIsEmulated ? 32 : 128, 4, 2), 600};
  spec.problem.batch_invariant = true;
  const RandomMoe moe(spec, random);
  const GpuMoe gpu(queue, moe);
  const std::vector<Bf16Bits> together = gpu.run(moe_nvfp4_bf16_wgmma(), 0, 600);
  for (const auto& [first, count] : {std::pair{0U, 1U}, {17U, 30U}, {100U, 400U}}) {
    const std::vector<Bf16Bits> alone = gpu.run(moe_nvfp4_bf16_wgmma(), first, count);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + first * std::ptrdiff_t{kHidden})) << first;
  }
}

TEST(MoeWgmma, KeepsToTheEndsOfBf16) {
  const GpuQueue queue;
  Random random(8);
  for (const int exponent : {-100, 100}) {
    MoeSpec spec{moe_problem(ExpertFunction::kSilu, 256, 128, 8, 2), 150};
    if (support::kIsEmulated) spec = {moe_problem(ExpertFunction::kSilu, 80, 32, 4, 2), 70};
    spec.x_exponent = exponent;
    expect_close(queue, spec, random);
  }
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
