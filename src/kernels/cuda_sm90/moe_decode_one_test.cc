// One token under static scales: what FC1 rounds on its way against the kernels that round, bit for bit.
#include "kernels/cuda_sm90/moe_decode_one.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "formats/bf16.h"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/round_rows.h"
#include "support/emulated_size.h"
#include "support/gpu_moe.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuArray;
using support::GpuMoe;
using support::GpuQueue;
using support::IdPattern;
using support::moe_problem;
using support::MoeSpec;
using support::Random;
using support::RandomMoe;
using support::size_for;

class OneTokenRounding {
 public:
  OneTokenRounding(const GpuQueue& queue, const RandomMoe& moe, const std::vector<Bf16Bits>& x)
      : queue_(queue),
        problem_(moe.spec().problem),
        gpu_(queue, moe),
        pipes_(choose_one_token_pipes(problem_, gpu_.caps().num_sms,
                                      static_cast<std::uint32_t>(gpu_.caps().shared_bytes_per_block),
                                      static_cast<std::uint32_t>(gpu_.caps().shared_bytes_per_sm))),
        x_(queue, x),
        rows_(queue, problem_.hidden),
        h_(queue, num_h()),
        h_f32_(queue, num_h()),
        x_factor_(queue, 1),
        h_factors_(queue, problem_.top_k) {
    EXPECT_TRUE(pipes_.exist());
    queue.expect_ok(allow_one_token_moe(gpu_.caps()));
  }

  [[nodiscard]] std::vector<Bf16Bits> run(bool on_the_way) const {
    return gpu_.run(0, 1, [&](const DeviceMoeWeights& weights, const DeviceMoeArgs& args) {
      OneTokenMoe moe{problem_, weights.experts, pipes_, gpu_.caps().num_sms, {}, x_.data()};
      moe.pairs = {args.expert_ids, args.expert_map, problem_.num_ids(), problem_.num_experts, problem_.top_k};
      moe.h = h_.data();
      moe.router_weights = args.router_weights;
      moe.y = args.y;
      moe.rounds = on_the_way;
      return on_the_way ? run_both(moe) : run_with_kernels(moe);
    });
  }

 private:
  [[nodiscard]] std::size_t num_h() const { return std::size_t{problem_.top_k} * problem_.intermediate; }

  Status run_both(const OneTokenMoe& moe) const {
    NVFP4_RETURN_IF_ERROR(run_one_token_fc1(moe, queue_.get()));
    return run_one_token_fc2(moe, queue_.get());
  }
  Status run_with_kernels(OneTokenMoe& moe) const {
    QuantizeActivations quantize;
    quantize.activation = problem_.activation;
    quantize.rule = problem_.input_rule;
    quantize.num_rows = 1;
    quantize.in_features = problem_.hidden;
    quantize.x = x_.data();
    quantize.input_scales = moe.weights.fc1_input_scale;
    quantize.values = rows_.data();
    quantize.row_scale = x_factor_.data();
    NVFP4_RETURN_IF_ERROR(quantize_activations(quantize, queue_.get()));
    moe.x = rows_.data();
    moe.x_factor = x_factor_.data();
    moe.h_f32 = h_f32_.data();
    NVFP4_RETURN_IF_ERROR(run_one_token_fc1(moe, queue_.get()));
    RoundRows round;
    round.h = h_f32_.data();
    round.num_rows = problem_.top_k;
    round.num_cols = problem_.intermediate;
    round.expert_ids = moe.pairs.ids;
    round.lookup = {moe.pairs.expert_map, moe.pairs.num_ids, moe.pairs.num_experts};
    round.input_scales = moe.weights.fc2_input_scale;
    round.rule = problem_.input_rule;
    round.values = h_.data();
    round.factors = h_factors_.data();
    NVFP4_RETURN_IF_ERROR(round_rows(round, queue_.get()));
    moe.h_factors = h_factors_.data();
    return run_one_token_fc2(moe, queue_.get());
  }

  const GpuQueue& queue_;
  const MoeProblem& problem_;
  const GpuMoe gpu_;
  const OneTokenPipes pipes_;
  const GpuArray<Bf16Bits> x_, rows_, h_;
  const GpuArray<float> h_f32_, x_factor_, h_factors_;
};

// Ragged tiles, one item for all warps and many for each, halves of a block of h in different teams.
std::vector<MoeProblem> problems() {
  using enum ExpertFunction;
  std::vector<MoeProblem> all = {
      moe_problem(kSilu, 208, 112, 9, 4),
      moe_problem(kRelu2, 208, 112, 9, 4),
      moe_problem(kSwigluOai, size_for(2880, 1040), 16, 3, 1),
      moe_problem(kRelu2, 1040, 48, 4, 2),
      moe_problem(kGeluTanh, size_for(2048, 32), size_for(1536, 304), 9, 8),
      moe_problem(kRelu2, 16, size_for(2080, 400), 20, 12),
  };
  for (MoeProblem& problem : all) {
    problem.activation = Activation::kNvfp4Static;
    problem.one_fc1_input_scale = true;
  }
  all[0].num_global_experts = 14;
  return all;
}

// On an H200; the last one's would not, in the parts that would be the first choice.
TEST(OneTokenPipes, BothKernelsFitOnAMultiprocessor) {
  constexpr std::uint32_t kBlockBytes = 232448;
  constexpr std::uint32_t kSmBytes = 233472;
  for (const auto& [hidden, intermediate, num_experts] :
       {std::array{2048U, 768U, 128U}, {2048U, 512U, 256U}, {2048U, 1024U, 64U}}) {
    const MoeProblem problem = moe_problem(ExpertFunction::kSilu, hidden, intermediate, num_experts, 8);
    const OneTokenPipes pipes = choose_one_token_pipes(problem, 132, kBlockBytes, kSmBytes);
    ASSERT_TRUE(pipes.exist()) << intermediate;
    EXPECT_LE(pipes.fc1.num_bytes + pipes.fc2.num_bytes + 2 * 1024, kSmBytes) << intermediate;
    EXPECT_GT(pipes.fc1.most_items(), pipes.fc1.teams()) << intermediate << ": one turn";
  }
}

TEST(OneTokenRounding, GivesTheBitsOfTheKernels) {
  const GpuQueue queue;
  Random random(1);
  for (const MoeProblem& problem : problems()) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      MoeSpec spec{problem, 1};
      spec.problem.input_rule = rule;
      spec.ids = rule == QuantizerRule::kModelOpt ? IdPattern::kDistinct : IdPattern::kHoles;
      const RandomMoe moe(spec, random);
      const OneTokenRounding layer(queue, moe, moe.x());
      EXPECT_TRUE(layer.run(true) == layer.run(false)) << describe(spec);
    }
  }
}

TEST(OneTokenRounding, WhatIsNotFiniteMakesAllNan) {
  const GpuQueue queue;
  Random random(2);
  for (const Bf16Bits bad : std::initializer_list<Bf16Bits>{0x7F80, 0xFF80, 0x7FC0}) {
    for (const std::uint32_t place : {0U, 207U}) {
      MoeSpec spec{problems()[place == 0 ? 1 : 0], 1};
      const RandomMoe moe(spec, random);
      std::vector<Bf16Bits> x = moe.x();
      x[place] = bad;
      const OneTokenRounding layer(queue, moe, x);
      for (const bool on_the_way : {true, false}) {
        for (const Bf16Bits y : layer.run(on_the_way)) ASSERT_TRUE(std::isnan(decode_bf16(y))) << on_the_way;
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
