// What the NVFP4 kernels on tiles promise beyond the bounds of linear_kernels_test.cc: an error far below that of
// 16-bit outputs, and the same bits from every instruction set.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "formats/bf16.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "kernels/catalogue/row_catalogue.h"
#include "kernels/reference/linear.h"
#include "support/packed_linear.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::LinearSpec;
using support::Random;
using support::RandomLinear;

std::vector<const LinearKernel*> tile_kernels(const LinearProblem& problem) {
  std::vector<const LinearKernel*> kernels;
  for (const LinearKernel& kernel : linear_kernels()) {
    const bool serves = runs_here(kernel.needs) && kernel.refusal(problem).empty();
    if (serves && kernel.layout == WeightLayout::kTile16x64) kernels.push_back(&kernel);
  }
  return kernels;
}

std::vector<float> run(const LinearKernel& kernel, const RandomLinear& linear, const LinearArgs& args,
                       WorkerPool& pool) {
  std::vector<float> y(args.num_rows * linear.spec.out_features);
  Workspace workspace;
  workspace.reserve(kernel.workspace_bytes(linear.problem(), args.num_rows, pool.num_workers()));
  LinearArgs with_y = args;
  with_y.y = y.data();
  kernel.run(support::PackedLinear(linear, kernel.layout).view(), linear.spec.activation, with_y, workspace, pool);
  return y;
}

// Nearly normal numbers. With outliers, which a few columns of real inputs have, they are BF16, as in real layers.
std::vector<float> make_input(std::uint32_t num_rows, std::uint64_t in_features, float outlier, Random& random) {
  std::vector<float> x(num_rows * in_features);
  for (std::size_t i = 0; i < x.size(); ++i) {
    float sum = 0;
    for (int j = 0; j < 4; ++j) sum += random.uniform(-1, 1);
    x[i] = i % in_features % 97 == 5 ? sum * outlier : sum;
    if (outlier > 1) x[i] = round_to_bf16(x[i]);
  }
  return x;
}

class TileLinear : public testing::TestWithParam<Activation> {
 protected:
  static LinearSpec spec(std::uint64_t out_features, std::uint64_t in_features, std::uint32_t num_experts) {
    LinearSpec out;
    out.format = WeightFormat::kNvfp4;
    out.activation = GetParam();
    out.out_features = out_features;
    out.in_features = in_features;
    out.num_experts = num_experts;
    out.num_shards = 2;
    return out;
  }
  WorkerPool pool_{2};
};

TEST_P(TileLinear, RelativeErrorIsBelowOneMillionth) {
  Random random(1);
  for (const std::uint64_t in_features : {64, 2048, 6144}) {
    const RandomLinear linear(spec(70, in_features, 1), random);
    for (const float outlier : {1.0F, 50.0F, 1000.0F}) {
      for (const std::uint32_t num_rows : {1U, 7U, 33U}) {
        const std::vector<float> x = make_input(num_rows, in_features, outlier, random);
        const LinearArgs args{x.data(), nullptr, num_rows, {}};
        const std::vector<double> expected = reference::linear(linear.view(), GetParam(), args);
        for (const LinearKernel* kernel : tile_kernels(linear.problem())) {
          const std::vector<float> y = run(*kernel, linear, args, pool_);
          double error = 0;
          double size = 0;
          for (std::size_t i = 0; i < y.size(); ++i) {
            error += (y[i] - expected[i]) * (y[i] - expected[i]);
            size += expected[i] * expected[i];
          }
          EXPECT_LE(std::sqrt(error / size), 1e-6)
              << kernel->name << ", in " << in_features << ", outliers " << outlier << ", rows " << num_rows;
        }
      }
    }
  }
}

TEST_P(TileLinear, EveryInstructionSetGivesTheSameBits) {
  Random random(2);
  const RandomLinear linear(spec(83, 336, 4), random);
  const std::vector<std::uint32_t> offsets = {0, 3, 3, 24, 37};
  const std::vector<float> x = make_input(37, 336, 30.0F, random);
  const std::vector<const LinearKernel*> kernels = tile_kernels(linear.problem());
  for (const bool round : {false, true}) {
    const LinearArgs args{x.data(), nullptr, 37, offsets, round};
    std::vector<float> first;
    for (const LinearKernel* kernel : kernels) {
      const std::vector<float> y = run(*kernel, linear, args, pool_);
      if (first.empty()) first = y;
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(first[i]))
            << kernel->name << " " << i;
      }
    }
    if (round) {
      for (const float value : first) EXPECT_EQ(value, round_to_bf16(value));
    }
  }
}

// Low numbers of inputs go different ways: none (small integers), some (BF16), nearly all (float32).
TEST_P(TileLinear, ATokenHasTheSameBitsAloneAndAmongMany) {
  Random random(4);
  const std::uint64_t in_features = 1104;  // 17.25 tiles: two whole streams of a panel, and a rest
  const RandomLinear linear(spec(45, in_features, 1), random);
  std::vector<float> bf16 = make_input(37, in_features, 1.0F, random);
  std::vector<float> integers(bf16.size());
  for (std::size_t i = 0; i < bf16.size(); ++i) {
    bf16[i] = round_to_bf16(bf16[i]);
    integers[i] = std::round(bf16[i] * 20);
  }
  for (const std::vector<float>& x : {integers, bf16, make_input(37, in_features, 1.0F, random)}) {
    for (const LinearKernel* kernel : tile_kernels(linear.problem())) {
      const std::vector<float> among_many = run(*kernel, linear, {x.data(), nullptr, 37, {}}, pool_);
      for (std::uint32_t t = 0; t < 37; t += 5) {
        const std::vector<float> alone = run(*kernel, linear, {x.data() + t * in_features, nullptr, 1, {}}, pool_);
        for (std::size_t n = 0; n < 45; ++n) ASSERT_EQ(alone[n], among_many[t * 45 + n]) << kernel->name << " " << t;
      }
    }
  }
}

// One pass over two weights is two layers and the gate between them, also where their inputs have different scales.
TEST_P(TileLinear, AGatedPairIsBothLayersAndTheGate) {
  Random random(3);
  const RandomLinear gate(spec(83, 336, 4), random);
  const RandomLinear up(spec(83, 336, 4), random);
  const std::vector<std::uint32_t> offsets = {0, 3, 3, 24, 37};
  const std::vector<float> x = make_input(37, 336, 1.0F, random);
  const RowKernels& rows = row_kernels(best_instruction_set());
  for (const LinearKernel* kernel : tile_kernels(gate.problem())) {
    for (const bool round : {false, true}) {
      const LinearArgs args{x.data(), nullptr, 37, offsets, round};
      const std::vector<float> gate_values = run(*kernel, gate, args, pool_);
      const std::vector<float> up_values = run(*kernel, up, args, pool_);
      std::vector<float> expected(gate_values.size());
      rows.gated(GateFunction::kSilu, gate_values.data(), up_values.data(), expected.data(), expected.size(),
                 round ? Rounding::kBF16 : Rounding::kNone);
      const support::PackedLinear packed_gate(gate, kernel->layout);
      const support::PackedLinear packed_up(up, kernel->layout);
      std::vector<float> y(expected.size());
      Workspace workspace;
      const std::size_t num_bytes = kernel->gated_workspace_bytes(gate.problem(), 37, pool_.num_workers());
      workspace.reserve(num_bytes);
      kernel->run_gated({packed_gate.view(), packed_up.view(), GateFunction::kSilu, rows}, GetParam(),
                        {x.data(), y.data(), 37, offsets, round}, workspace, pool_);
      EXPECT_LE(workspace.peak_bytes(), num_bytes);
      EXPECT_EQ(y, expected) << kernel->name;
    }
  }
}

TEST_P(TileLinear, WeightsWithOddScalesGoToAnotherKernel) {
  LinearProblem problem{WeightFormat::kNvfp4, GetParam(), 32, 64, 1, 16};
  for (const LinearKernel* kernel : tile_kernels(problem)) {
    problem.odd_scales = true;
    EXPECT_EQ(kernel->refusal(problem), "a block scale is negative or NaN");
  }
  const auto choice = choose_linear(problem, InstructionSet::kAvx512Bf16, "layer");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->kernel->layout, WeightLayout::kRowMajor);
}

INSTANTIATE_TEST_SUITE_P(Activations, TileLinear,
                         testing::Values(Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic),
                         [](const auto& kind) { return "A" + std::to_string(static_cast<int>(kind.param)); });

}  // namespace
}  // namespace nvfp4::kernels
