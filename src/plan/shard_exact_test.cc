// The sum over ranks is the whole layer: experts cut as the plan says, padded with zero codes and zero scales.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "formats/bf16.h"
#include "kernels/reference/moe.h"
#include "plan/shard.h"

namespace nvfp4::plan {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceMoeArgs;
using kernels::ExpertFunction;
using kernels::LinearWeight;
using kernels::MoeProblem;

constexpr std::uint32_t kHidden = 32;
constexpr std::uint32_t kTokens = 3;
constexpr std::uint32_t kExperts = 3;
constexpr std::uint32_t kTopK = 2;
constexpr std::uint8_t kScaleOne = 0x38;  // 1 in E4M3

// NVFP4 matrices of all experts, row-major.
struct Matrices {
  std::uint64_t rows = 0, cols = 0;
  std::vector<std::uint8_t> codes, scales;
  std::vector<float> scale2, input_scale;

  Matrices(std::uint64_t num_rows, std::uint64_t num_cols)
      : rows(num_rows),
        cols(num_cols),
        codes(kExperts * num_rows * num_cols / 2),
        scales(kExperts * num_rows * num_cols / 16),
        scale2(kExperts, 0.5F),
        input_scale(kExperts, 0.25F) {}

  void fill(std::uint32_t seed) {
    std::uint32_t state = seed;
    const auto next = [&] { return (state = state * 1664525U + 1013904223U) >> 24U; };
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(next());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(kScaleOne - 8 + 8 * (next() % 3));
  }

  // Rows and columns of one rank; the rest of what it has stays zero.
  [[nodiscard]] Matrices cut(const Piece& row_piece, const Piece& col_piece) const {
    Matrices out(row_piece.padded, col_piece.padded);
    for (std::uint64_t e = 0; e < kExperts; ++e) {
      for (std::uint64_t r = row_piece.begin; r < row_piece.end; ++r) {
        const std::uint64_t to = e * out.rows + r - row_piece.begin;
        const std::uint64_t from = e * rows + r;
        for (std::uint64_t c = col_piece.begin; c < col_piece.end; c += 2) {
          out.codes[(to * out.cols + c - col_piece.begin) / 2] = codes[(from * cols + c) / 2];
        }
        for (std::uint64_t c = col_piece.begin; c < col_piece.end; c += 16) {
          out.scales[(to * out.cols + c - col_piece.begin) / 16] = scales[(from * cols + c) / 16];
        }
      }
    }
    return out;
  }

  [[nodiscard]] LinearWeight view() const {
    LinearWeight weight;
    weight.format = kernels::WeightFormat::kNvfp4;
    weight.num_experts = kExperts;
    weight.out_features = rows;
    weight.in_features = cols;
    weight.block_size = 16;
    weight.elements = reinterpret_cast<const std::byte*>(codes.data());
    weight.block_scales = scales.data();
    weight.scale2 = scale2;
    weight.input_scale = input_scale;
    return weight;
  }
};

struct Expert {
  Matrices gate, up, down;

  explicit Expert(std::uint64_t intermediate)
      : gate(intermediate, kHidden), up(intermediate, kHidden), down(kHidden, intermediate) {
    gate.fill(1);
    up.fill(2);
    down.fill(3);
  }
  [[nodiscard]] Expert of_rank(const Piece& piece) const {
    const Piece all{0, kHidden, kHidden};
    Expert out(*this);
    out.gate = gate.cut(piece, all);
    out.up = up.cut(piece, all);
    out.down = down.cut(all, piece);
    return out;
  }
};

struct Inputs {
  std::vector<Bf16Bits> x;
  std::vector<std::int32_t> ids;
  std::vector<float> weights;

  Inputs() {
    for (std::uint32_t i = 0; i < kTokens * kHidden; ++i)
      x.push_back(encode_bf16(static_cast<float>(i * 7 % 9) / 4 - 1));
    for (std::uint32_t i = 0; i < kTokens * kTopK; ++i) {
      ids.push_back(static_cast<std::int32_t>(i % kExperts));
      weights.push_back(i % 2 == 0 ? 0.75F : 0.25F);
    }
  }
};

std::vector<double> run(MoeProblem problem, const Expert& expert, const Inputs& inputs,
                        const std::vector<std::int32_t>* expert_map = nullptr) {
  problem.intermediate = static_cast<std::uint32_t>(expert.up.rows);
  const LinearWeight gate = expert.gate.view();
  const LinearWeight up = expert.up.view();
  const LinearWeight down = expert.down.view();
  kernels::reference::MoeWeights weights;
  weights.experts = {problem.gated() ? &gate : nullptr, &up, &down};
  DeviceMoeArgs args;
  args.num_tokens = kTokens;
  args.x = inputs.x.data();
  args.expert_ids = inputs.ids.data();
  args.router_weights = inputs.weights.data();
  if (expert_map != nullptr) args.expert_map = expert_map->data();
  return kernels::reference::moe(problem, weights, args);
}

MoeProblem problem_of(ExpertFunction function, Activation activation) {
  MoeProblem problem;
  problem.function = function;
  problem.activation = activation;
  problem.hidden = kHidden;
  problem.num_experts = kExperts;
  problem.top_k = kTopK;
  return problem;
}

void expect_sum(const std::vector<double>& whole, const std::vector<double>& sum, bool is_exact) {
  double norm = 0;
  for (const double value : whole) norm = std::max(norm, std::abs(value));
  ASSERT_GT(norm, 0);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    // What is summed up to relu2 are multiples of a power of 2, of less than 53 bits.
    EXPECT_NEAR(sum[i], whole[i], is_exact ? 0 : norm * 1e-13) << i;
  }
}

class SumOfShards : public testing::TestWithParam<std::tuple<std::uint64_t, ExpertFunction, Activation>> {};

TEST_P(SumOfShards, IsTheWhole) {
  const auto [intermediate, function, activation] = GetParam();
  const MoeProblem problem = problem_of(function, activation);
  const Expert expert(intermediate);
  const Inputs inputs;
  const std::vector<double> whole = run(problem, expert, inputs);
  for (std::uint32_t ranks = 1; ranks <= 8; ++ranks) {
    std::vector<double> sum(whole.size());
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      const std::vector<double> part = run(problem, expert.of_rank(piece_of(intermediate, 16, ranks, rank)), inputs);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
    }
    expect_sum(whole, sum, function == ExpertFunction::kRelu2);
  }
}
INSTANTIATE_TEST_SUITE_P(All, SumOfShards,
                         testing::Combine(testing::Values(1856, 704, 640, 352),
                                          testing::Values(ExpertFunction::kRelu2, ExpertFunction::kSilu),
                                          testing::Values(Activation::k16Bit, Activation::kNvfp4Static)));

// Each rank sees all ids and computes those of its experts; the scales of others are not asked for.
TEST(SumOfExpertShards, IsTheWhole) {
  const MoeProblem problem = problem_of(ExpertFunction::kRelu2, Activation::kNvfp4Static);
  const Expert expert(64);
  const Inputs inputs;
  const std::vector<double> whole = run(problem, expert, inputs);
  for (std::uint32_t ranks = 1; ranks <= kExperts; ++ranks) {
    std::vector<double> sum(whole.size());
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      const Piece piece = piece_of(kExperts, 1, ranks, rank);
      std::vector<std::int32_t> map(kExperts, -1);
      for (std::uint64_t e = piece.begin; e < piece.end; ++e) map[e] = static_cast<std::int32_t>(e);
      const std::vector<double> part = run(problem, expert, inputs, &map);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
    }
    expect_sum(whole, sum, true);
  }
}

}  // namespace
}  // namespace nvfp4::plan
