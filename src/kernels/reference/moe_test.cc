// The MoE reference against numbers worked out by hand, and the promises of the random layers that tests are made of.
#include "kernels/reference/moe.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "formats/bf16.h"
#include "support/random_moe.h"

namespace nvfp4::kernels::reference {
namespace {

using support::IdPattern;
using support::MoeSpec;
using support::MoeValues;
using support::Random;
using support::RandomMoe;

LinearWeight plain(std::uint32_t num_experts, std::uint64_t out, std::uint64_t in, const float* values) {
  LinearWeight weight;
  weight.format = WeightFormat::kF32;
  weight.num_experts = num_experts;
  weight.out_features = out;
  weight.in_features = in;
  weight.elements = reinterpret_cast<const std::byte*>(values);
  return weight;
}

std::vector<Bf16Bits> bf16(std::initializer_list<float> values) {
  std::vector<Bf16Bits> bits;
  for (const float value : values) bits.push_back(encode_bf16(value));
  return bits;
}

// Two experts, hidden 2, intermediate 1: up [1, 2], down [2, 1].
struct SmallMoe {
  std::array<float, 4> gate_values = {1, 0, 0, 1};
  std::array<float, 4> up_values = {2, 1, 1, -1};
  std::array<float, 4> down_values = {1, 10, 3, 0.5F};
  LinearWeight gate = plain(2, 1, 2, gate_values.data());
  LinearWeight up = plain(2, 1, 2, up_values.data());
  LinearWeight down = plain(2, 2, 1, down_values.data());
  MoeProblem problem;
  std::vector<Bf16Bits> x = bf16({1, 2, 3, -1});
  std::vector<std::int32_t> ids = {0, 1, 1, 0};
  std::vector<float> weights = {1, 0.5F, 2, 0.25F};

  SmallMoe() {
    problem.function = ExpertFunction::kRelu2;
    problem.hidden = 2;
    problem.intermediate = 1;
    problem.num_experts = 2;
    problem.top_k = 2;
  }
  [[nodiscard]] MoeWeights views() const { return {{problem.gated() ? &gate : nullptr, &up, &down}, {}}; }
  [[nodiscard]] DeviceMoeArgs args() const {
    DeviceMoeArgs args;
    args.num_tokens = 2;
    args.x = x.data();
    args.expert_ids = ids.data();
    args.router_weights = weights.data();
    return args;
  }
};

TEST(ReferenceMoe, AddsWeightedAnswers) {
  const SmallMoe small;
  // Token 0: expert 0 gives (2 + 2)^2 = 16, expert 1 max(1 - 2, 0) = 0. Token 1: (3 + 1)^2 = 16, (6 - 1)^2 = 25.
  EXPECT_EQ(moe(small.problem, small.views(), small.args()),
            (std::vector<double>{16, 160, 2 * 48 + 0.25 * 25, 2 * 8 + 0.25 * 250}));
}

TEST(ReferenceMoe, SkipsWhatIsNotHere) {
  SmallMoe small;
  small.ids = {-1, 0, 7, 1};
  EXPECT_EQ(moe(small.problem, small.views(), small.args()), (std::vector<double>{8, 80, 0.25 * 48, 0.25 * 8}));
  // Of four experts, 3 and 1 are here.
  small.problem.num_global_experts = 4;
  const std::array<std::int32_t, 4> expert_map = {-1, 1, 99, 0};
  DeviceMoeArgs args = small.args();
  args.expert_map = expert_map.data();
  small.ids = {3, 0, 2, 1};
  EXPECT_EQ(moe(small.problem, small.views(), args), (std::vector<double>{16, 160, 0.25 * 48, 0.25 * 8}));
}

TEST(ReferenceMoe, WeightsOnTheInputAndASharedExpert) {
  SmallMoe small;
  small.problem.router_weight_on_input = true;
  // Token 1, expert 1: x = (6, -2), 8^2; expert 0: (0.75, -0.25), 1.25^2 = 1.5625.
  EXPECT_EQ(moe(small.problem, small.views(), small.args()),
            (std::vector<double>{16, 160, 64 * 3 + 1.5625, 64 * 0.5 + 15.625}));
  small.problem.router_weight_on_input = false;
  small.problem.shared_intermediate = 1;
  MoeWeights weights = small.views();
  const std::array<float, 2> up = {1, 1};
  const std::array<float, 2> down = {1, -1};
  const LinearWeight shared_up = plain(1, 1, 2, up.data());
  const LinearWeight shared_down = plain(1, 2, 1, down.data());
  weights.shared = {nullptr, &shared_up, &shared_down};
  EXPECT_EQ(moe(small.problem, weights, small.args()),
            (std::vector<double>{16 + 9, 160 - 9, 2 * 48 + 0.25 * 25 + 4, 2 * 8 + 0.25 * 250 - 4}));
  const std::array<float, 2> shared_weights = {0.5F, 0};
  DeviceMoeArgs args = small.args();
  args.shared_weights = shared_weights.data();
  EXPECT_EQ(moe(small.problem, weights, args),
            (std::vector<double>{16 + 4.5, 160 - 4.5, 2 * 48 + 0.25 * 25, 2 * 8 + 0.25 * 250}));
}

TEST(ReferenceMoe, RoundsTheInnerValuesOnce) {
  SmallMoe small;
  small.up_values = {257, 0, 1, 0};  // 257^2 = 66049 lies between 65536 and 66048
  small.ids = {0, -1, 0, -1};
  small.x = bf16({1, 0, 1, 0});
  EXPECT_EQ(moe(small.problem, small.views(), small.args())[0], 66048);
  EXPECT_EQ(moe(small.problem, small.views(), small.args(), InnerRounding::kNone)[0], 66049);
}

TEST(ReferenceMoe, ExpertFunctions) {
  MoeProblem problem;
  problem.function = ExpertFunction::kSilu;
  EXPECT_DOUBLE_EQ(expert_function(problem, 1.5, -2), 1.5 / (1 + std::exp(-1.5)) * -2);
  problem.function = ExpertFunction::kGeluTanh;
  EXPECT_NEAR(expert_function(problem, -0.7, 3),
              3 * -0.35 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (-0.7 - 0.044715 * 0.343))), 1e-15);
  problem.function = ExpertFunction::kSwigluOai;
  problem.swiglu_limit = 7;
  EXPECT_DOUBLE_EQ(expert_function(problem, 100, -100), 7 / (1 + std::exp(-double{1.702F} * 7)) * (-7 + 1));
  EXPECT_DOUBLE_EQ(expert_function(problem, -100, 2), -100 / (1 + std::exp(double{1.702F} * 100)) * 3);
  problem.function = ExpertFunction::kRelu2;
  EXPECT_EQ(expert_function(problem, 5, -3), 0);
  EXPECT_TRUE(std::isnan(expert_function(problem, 0, std::numeric_limits<double>::quiet_NaN())));
}

TEST(ReferenceMoe, RoundsBothInputsAtW4A4) {
  // One expert, hidden and intermediate 16. x = 6, 2.6, 0 ...: at input scale 1 block scale 1, so 6, 3, 0.
  std::array<float, 256> up{};
  std::array<float, 256> down{};
  up[0] = 1;          // inner 0: x0^2 = 36, under 0.5: block scale 12, code 6
  up[17] = 1;         // inner 1: x1^2 = 9 = 1.5 * 12 * 0.5
  up[32 + 1] = 1.3F;  // inner 2: (1.3 * 3)^2 = 15.21, nearest 3 * 6 = 18
  down[0] = 1;
  down[17] = 1;
  down[32 + 2] = 1;
  MoeProblem problem;
  problem.function = ExpertFunction::kRelu2;
  problem.activation = Activation::kNvfp4Static;
  problem.hidden = problem.intermediate = 16;
  problem.num_experts = problem.top_k = 1;
  LinearWeight up_weight = plain(1, 16, 16, up.data());
  LinearWeight down_weight = plain(1, 16, 16, down.data());
  const std::array<float, 1> fc1_scale = {1.0F};
  const std::array<float, 1> fc2_scale = {0.5F};
  up_weight.input_scale = fc1_scale;
  down_weight.input_scale = fc2_scale;
  std::vector<Bf16Bits> x(16);
  x[0] = encode_bf16(6);
  x[1] = encode_bf16(2.6F);
  const std::int32_t id = 0;
  const float weight = 1;
  DeviceMoeArgs args;
  args.num_tokens = 1;
  args.x = x.data();
  args.expert_ids = &id;
  args.router_weights = &weight;
  const std::vector<double> y = moe(problem, {{nullptr, &up_weight, &down_weight}, {}}, args);
  EXPECT_EQ(y[0], 36);
  EXPECT_EQ(y[1], 9);
  EXPECT_EQ(y[2], 18);
  EXPECT_EQ(y[3], 0);
}

TEST(ReferenceMoe, RelativeError) {
  EXPECT_EQ(relative_error(bf16({3, 4}), std::vector<double>{3, 4}), 0);
  EXPECT_EQ(relative_error(bf16({3, 3}), std::vector<double>{3, 4}), 0.2);
  EXPECT_TRUE(std::isinf(relative_error(bf16({3, std::numeric_limits<float>::infinity()}), std::vector<double>{3, 4})));
}

MoeProblem problem_of(ExpertFunction function, Activation activation) {
  MoeProblem problem;
  problem.function = function;
  problem.activation = activation;
  problem.hidden = 96;
  problem.intermediate = 80;
  problem.num_experts = 6;
  problem.top_k = 3;
  return problem;
}

TEST(RandomMoe, ExactLayersAreExact) {
  Random random(1);
  for (const ExpertFunction function : {ExpertFunction::kRelu2, ExpertFunction::kSilu}) {
    MoeSpec spec;
    spec.problem = problem_of(function, Activation::k16Bit);
    spec.problem.shared_intermediate = 48;
    spec.num_tokens = 40;
    spec.values = MoeValues::kExact;
    const RandomMoe layer(spec, random);
    const std::vector<double> y = layer.reference();
    EXPECT_EQ(y, layer.reference());
    double largest = 0;
    for (const double value : y) {
      EXPECT_EQ(value * 4, std::round(value * 4));
      largest = std::max(largest, std::fabs(value));
    }
    EXPECT_GT(largest, 10);
    EXPECT_LT(largest, 0x1p20);
    // Nothing is rounded on the way, but for what a gate's function leaves of the identity.
    const std::vector<double> unrounded = layer.reference(InnerRounding::kNone);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(unrounded[i], y[i], largest * 1e-12);
  }
}

TEST(RandomMoe, RandomLayersUseTheirWholeRange) {
  Random random(2);
  for (const ExpertFunction function :
       {ExpertFunction::kSilu, ExpertFunction::kGeluTanh, ExpertFunction::kSwigluOai, ExpertFunction::kRelu2}) {
    for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
      for (const int exponent : {0, 100, -100}) {
        MoeSpec spec;
        spec.problem = problem_of(function, activation);
        spec.problem.num_global_experts = 9;
        spec.num_tokens = 20;
        spec.x_exponent = exponent;
        const RandomMoe layer(spec, random);
        EXPECT_EQ(std::set<float>(layer.experts().up().scale2.begin(), layer.experts().up().scale2.end()).size(), 6U);
        const std::vector<double> y = layer.reference();
        double squares = 0;
        for (const double value : y) squares += value * value;
        const double size = std::sqrt(squares / static_cast<double>(y.size()));
        EXPECT_GT(size, 0.05) << expert_function_name(function) << ", 2^" << exponent;
        EXPECT_LT(size, 50.0) << expert_function_name(function) << ", 2^" << exponent;
      }
    }
  }
}

TEST(RandomMoe, W4A4DiffersFromW4A16ByTheRoundingOfFourBits) {
  Random random(3);
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      MoeSpec spec;
      spec.problem = problem_of(ExpertFunction::kSilu, activation);
      spec.problem.input_rule = rule;
      spec.num_tokens = 30;
      const RandomMoe layer(spec, random);
      const std::vector<double> exact = layer.reference_at(Activation::k16Bit, InnerRounding::kNone);
      const std::vector<double> y = layer.reference();
      double difference = 0;
      double norm = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        difference += (y[i] - exact[i]) * (y[i] - exact[i]);
        norm += exact[i] * exact[i];
      }
      EXPECT_GT(std::sqrt(difference / norm), 0.02);
      EXPECT_LT(std::sqrt(difference / norm), 0.4);
    }
  }
}

TEST(RandomMoe, IdsFollowTheirPattern) {
  Random random(4);
  MoeSpec spec;
  spec.problem = problem_of(ExpertFunction::kRelu2, Activation::k16Bit);
  spec.num_tokens = 200;
  const auto counts = [&](IdPattern pattern) {
    spec.ids = pattern;
    const RandomMoe layer(spec, random);
    EXPECT_EQ(layer.ids().size(), 600U);
    std::vector<int> count(6);
    int others = 0;
    int twice = 0;
    for (std::size_t i = 0; i < layer.ids().size(); ++i) {
      const std::int32_t id = layer.ids()[i];
      id >= 0 && id < 6 ? ++count[static_cast<std::size_t>(id)] : ++others;
      if (i % 3 != 0 && id >= 0 && id == layer.ids()[i - 1]) ++twice;
    }
    count.push_back(others);
    count.push_back(twice);
    return count;
  };
  EXPECT_EQ(counts(IdPattern::kOne), (std::vector<int>{0, 0, 0, 0, 0, 600, 0, 400}));
  EXPECT_EQ(counts(IdPattern::kNone), (std::vector<int>{0, 0, 0, 0, 0, 0, 600, 0}));
  const auto distinct = counts(IdPattern::kDistinct);
  EXPECT_GT(*std::min_element(distinct.begin(), distinct.begin() + 6), 50);
  EXPECT_EQ(distinct[6] + distinct[7], 0);
  const auto few = counts(IdPattern::kFew);
  EXPECT_GT(few[0] + few[3], 500);
  const auto duplicates = counts(IdPattern::kDuplicates);
  EXPECT_EQ(duplicates[3] + duplicates[4] + duplicates[5], 0);
  EXPECT_GT(duplicates[7], 20);
  EXPECT_GT(counts(IdPattern::kHoles)[6], 100);
}

}  // namespace
}  // namespace nvfp4::kernels::reference
