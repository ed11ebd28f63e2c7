// The kernels for few tokens against the float64 reference.
#include "kernels/cuda_sm90/moe_decode.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "device/device.h"
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
using support::size_for;

// Those of the emulation are small, of the same kinds: ragged tiles, more experts than pairs and than some blocks have
// threads, long and short rows.
std::vector<MoeProblem> problems() {
  using enum ExpertFunction;
  std::vector<MoeProblem> all;
  if (support::kIsEmulated) {
    all = {moe_problem(kSilu, 96, 80, 6, 4),        moe_problem(kGeluTanh, 80, 48, 8, 5),
           moe_problem(kSwigluOai, 336, 112, 4, 2), moe_problem(kRelu2, 112, 272, 5, 6),
           moe_problem(kSilu, 16, 16, 512, 12),     moe_problem(kRelu2, 1040, 16, 2, 1)};
  } else {
    all = {moe_problem(kSilu, 256, 192, 12, 4),      moe_problem(kGeluTanh, 208, 112, 20, 5),
           moe_problem(kSwigluOai, 1040, 336, 6, 2), moe_problem(kRelu2, 336, 1040, 7, 6),
           moe_problem(kSilu, 16, 16, 512, 32),      moe_problem(kRelu2, 4160, 48, 3, 1)};
  }
  all[1].shared_intermediate = 80;
  all[3].shared_intermediate = 32;
  all[2].num_global_experts = 9;
  all[0].router_weight_on_input = true;
  return all;
}

std::vector<std::uint32_t> token_counts() {
  if (support::kIsEmulated) return {1, 2, 3, 5, 8, 13, 33};
  return {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 31, 33, 64};
}

// BF16 rounds y by at most 2^-8 of it. Sums in float32 round a few inner values to their other neighbour: a few steps
// of 2^-7, or of E2M1, among many.
double tolerance(Activation activation) { return 0x1p-8 + (activation == Activation::k16Bit ? 3e-4 : 8e-3); }

std::vector<Bf16Bits> run(const GpuQueue& queue, const RandomMoe& moe) {
  return GpuMoe(queue, moe).run(moe_nvfp4_bf16_mma_bulk(), 0, moe.spec().num_tokens);
}

void expect_close(const GpuQueue& queue, const MoeSpec& spec, Random& random) {
  const RandomMoe moe(spec, random);
  const std::vector<double> expected = moe.reference();
  const std::vector<Bf16Bits> found = run(queue, moe);
  EXPECT_LE(reference::relative_error(found, expected), tolerance(spec.problem.activation)) << describe(spec);
}

TEST(MoeDecode, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const MoeProblem& problem : problems()) {
    for (const std::uint32_t num_tokens : token_counts()) {
      MoeSpec spec{problem, num_tokens};
      spec.ids = num_tokens % 2 == 0 ? IdPattern::kDistinct : IdPattern::kHoles;
      spec.has_shared_weights = num_tokens % 2 == 0;
      expect_close(queue, spec, random);
    }
  }
}

TEST(MoeDecode, ServesAnyIds) {
  const GpuQueue queue;
  Random random(2);
  for (const IdPattern ids : {IdPattern::kFew, IdPattern::kOne, IdPattern::kDuplicates, IdPattern::kHoles}) {
    for (const std::uint32_t num_tokens : {1U, 6U, size_for(64, 25)}) {
      MoeSpec spec{moe_problem(ExpertFunction::kSilu, size_for(272, 80), size_for(144, 80), size_for(10, 5), 3),
                   num_tokens};
      spec.ids = ids;
      expect_close(queue, spec, random);
    }
  }
}

// More items of a block than FC1's warps have slots for, and more experts than FC2's have.
TEST(MoeDecode, OneTokenReadsLongLists) {
  const GpuQueue queue;
  Random random(7);
  for (const auto& problem : {moe_problem(ExpertFunction::kSilu, size_for(2048, 32), size_for(4096, 304), 9, 8),
                              moe_problem(ExpertFunction::kRelu2, 16, 1040, 20, 20)}) {
    for (const IdPattern ids : {IdPattern::kDistinct, IdPattern::kHoles}) {
      MoeSpec spec{problem, 1};
      spec.ids = ids;
      expect_close(queue, spec, random);
    }
  }
}

TEST(MoeDecode, WithoutExpertsAnswersZero) {
  const GpuQueue queue;
  Random random(3);
  for (const std::uint32_t num_tokens : {1U, 20U}) {
    MoeSpec spec{moe_problem(ExpertFunction::kSilu, 128, 64, 8, 4), num_tokens};
    spec.ids = IdPattern::kNone;
    const RandomMoe moe(spec, random);
    const std::vector<Bf16Bits> zeros(std::size_t{num_tokens} * 128, 0);
    EXPECT_TRUE(run(queue, moe) == zeros);
  }
}

TEST(MoeDecode, RoundsActivationsToNvfp4) {
  const GpuQueue queue;
  Random random(4);
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_tokens : {1U, 5U, size_for(24, 13)}) {
        const bool is_first = rule == QuantizerRule::kModelOpt;
        MoeSpec spec{moe_problem(ExpertFunction::kSilu, size_for(528, 144), size_for(208, 112), size_for(9, 5), 3),
                     num_tokens};
        spec.ids = is_first ? IdPattern::kDistinct : IdPattern::kHoles;
        spec.problem.activation = activation;
        spec.problem.input_rule = rule;
        spec.problem.one_fc1_input_scale = is_first == (num_tokens == 5);
        spec.problem.router_weight_on_input = !is_first && num_tokens > 5;
        spec.problem.shared_intermediate = (num_tokens == 1) != is_first ? 64 : 0;
        expect_close(queue, spec, random);
      }
    }
  }
}

TEST(MoeDecode, ComputesExactNumbersExactly) {
  const GpuQueue queue;
  Random random(5);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {1U, 4U, 9U, size_for(64, 33)}) {
      MoeSpec spec{moe_problem(function, size_for(320, 112), size_for(176, 80), size_for(14, 6), 4), num_tokens};
      spec.values = MoeValues::kExact;
      const RandomMoe moe(spec, random);
      std::vector<Bf16Bits> expected;
      for (const double y : moe.reference()) expected.push_back(encode_bf16(static_cast<float>(y)));
      EXPECT_TRUE(run(queue, moe) == expected) << describe(spec);
    }
  }
}

TEST(MoeDecode, KeepsToTheEndsOfBf16) {
  const GpuQueue queue;
  Random random(6);
  for (const int exponent : {-100, 100}) {
    MoeSpec spec{moe_problem(ExpertFunction::kSilu, 256, 128, 8, 2), 6};
    spec.x_exponent = exponent;
    expect_close(queue, spec, random);
  }
}

TEST(MoeDecode, RefusesWhatItDoesNotKeep) {
  MoeProblem problem = moe_problem(ExpertFunction::kSilu, 2048, 768, 16, 8);
  const auto device = Device::open(0);
  ASSERT_TRUE(device);
  EXPECT_EQ(moe_nvfp4_bf16_mma_bulk().refusal(problem, device->caps(), 40), "");
  problem.batch_invariant = true;
  EXPECT_NE(moe_nvfp4_bf16_mma_bulk().refusal(problem, device->caps(), 40), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
