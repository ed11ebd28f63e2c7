#include "layers/sparse_moe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::LinearSpec;
using support::OwnContext;
using support::Random;
using support::RandomLinear;

// ---- choosing ----

std::vector<Routing> choose(const std::vector<float>& logits, std::size_t top_k, bool normalize,
                            Precision precision = Precision::kF32) {
  std::vector<std::uint32_t> order(logits.size());
  std::vector<Routing> chosen(top_k);
  choose_experts(logits, normalize, order, chosen, OwnContext(precision));
  return chosen;
}

std::vector<std::uint32_t> experts_of(const std::vector<Routing>& chosen) {
  std::vector<std::uint32_t> experts;
  for (const Routing& routing : chosen) experts.push_back(routing.expert);
  return experts;
}

TEST(ChooseExperts, TiesGoToTheLowerExpert) {
  EXPECT_EQ(experts_of(choose({1, 3, 3, 2, 3}, 3, true)), (std::vector<std::uint32_t>{1, 2, 4}));
  EXPECT_EQ(experts_of(choose({0, 0, 0, 0}, 2, false)), (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(experts_of(choose({-0.0F, 0.0F}, 2, true)), (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(experts_of(choose({2, 1, 2}, 1, true)), (std::vector<std::uint32_t>{0}));
}

// exp() within an ulp, a sum of at most n terms, a quotient; the differences of logits up to 16 round by 2^-21.
TEST(ChooseExperts, WeightsAreTheSoftmaxOverAllOrOverTheChosen) {
  Random random(1);
  for (const std::size_t num_experts : {1, 2, 5, 64, 128}) {
    for (const std::size_t top_k : {std::size_t{1}, std::min<std::size_t>(num_experts, 8), num_experts}) {
      const std::vector<float> logits = random.floats(num_experts, -8.0F, 8.0F);
      std::vector<std::size_t> order(num_experts);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
      for (const bool normalize : {true, false}) {
        double sum = 0;
        for (std::size_t i = 0; i < (normalize ? top_k : num_experts); ++i) sum += std::exp(double{logits[order[i]]});
        const std::vector<Routing> chosen = choose(logits, top_k, normalize);
        const double bound = (static_cast<double>(num_experts) + 8) * 0x1p-24 + 0x1p-20;
        double total = 0;
        for (std::size_t j = 0; j < top_k; ++j) {
          EXPECT_EQ(chosen[j].expert, order[j]);
          const double expected = std::exp(double{logits[order[j]]}) / sum;
          EXPECT_NEAR(chosen[j].weight / expected, 1.0, bound);
          total += chosen[j].weight;
        }
        if (normalize || top_k == num_experts) {
          EXPECT_NEAR(total, 1.0, bound);
        } else {
          EXPECT_LT(total, 1.0);
        }
      }
    }
  }
}

TEST(ChooseExperts, APermutationOfTheExpertsChangesNoBit) {
  Random random(2);
  constexpr std::uint32_t kExperts = 33;
  const std::vector<float> logits = random.floats(kExperts, -30.0F, 30.0F);
  std::vector<std::uint32_t> place(kExperts);  // expert e goes to place[e]
  for (std::uint32_t e = 0; e < kExperts; ++e) place[e] = (7 * e + 3) % kExperts;
  std::vector<float> moved(kExperts);
  for (std::uint32_t e = 0; e < kExperts; ++e) moved[place[e]] = logits[e];
  for (const bool normalize : {true, false}) {
    for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
      const auto a = choose(logits, 6, normalize, precision);
      const auto b = choose(moved, 6, normalize, precision);
      for (std::size_t j = 0; j < 6; ++j) {
        EXPECT_EQ(b[j].expert, place[a[j].expert]);
        EXPECT_EQ(b[j].weight, a[j].weight);
        EXPECT_TRUE(precision == Precision::kF32 || a[j].weight == round_to_bf16(a[j].weight));
      }
    }
  }
}

// Logits that are no numbers must not be lost among those that are.
TEST(ChooseExperts, NaNIsChosenAndSeen) {
  for (const bool normalize : {true, false}) {
    const auto chosen = choose({5, 1, NAN, 4, 3, NAN, 2, 9}, 3, normalize);
    EXPECT_EQ(experts_of(chosen), (std::vector<std::uint32_t>{2, 5, 7}));
    for (const Routing& routing : chosen) EXPECT_TRUE(std::isnan(routing.weight));
    for (const Routing& routing : choose(std::vector<float>(40, NAN), 5, normalize)) {
      EXPECT_TRUE(std::isnan(routing.weight));
    }
  }
}

TEST(ChooseExperts, LargeLogitsDoNotOverflow) {
  const auto chosen = choose({3e38F, -3e38F, 3e38F}, 2, false);
  EXPECT_EQ(chosen[0].weight, 0.5F);
  EXPECT_EQ(chosen[1].weight, 0.5F);
}

// ---- the layer ----

constexpr std::uint32_t kExperts = 6;
constexpr std::uint32_t kTopK = 3;
constexpr std::uint64_t kHidden = 64;
constexpr std::uint64_t kInner = 32;

struct Experts {
  RandomLinear router, gate, up, down;
};

Experts make_experts(kernels::WeightFormat format, Activation activation, Random& random) {
  LinearSpec inward{format, activation, kInner, kHidden, kExperts};
  LinearSpec outward{format, activation, kHidden, kInner, kExperts};
  LinearSpec router{kernels::WeightFormat::kBF16, Activation::k16Bit, kExperts, kHidden};
  return {{router, random}, {inward, random}, {inward, random}, {outward, random}};
}

SparseMoe layer_of(const Experts& experts, bool normalize) {
  return {support::linear_layer(experts.router),
          support::linear_layer(experts.gate),
          support::linear_layer(experts.up),
          support::linear_layer(experts.down),
          kTopK,
          normalize};
}

std::vector<float> run(const SparseMoe& moe, std::span<const float> x, Precision precision,
                       std::size_t num_workers = 2) {
  const auto num_tokens = static_cast<std::uint32_t>(x.size() / kHidden);
  std::vector<float> y(x.size());
  const std::size_t num_bytes = moe.workspace_bytes(num_tokens, num_workers);
  const OwnContext context(precision, num_workers, num_bytes);
  moe.run(x, num_tokens, y, context);
  EXPECT_LE(context.peak_bytes(), num_bytes);
  return y;
}

float element(const RandomLinear& linear, std::uint64_t idx) {
  if (linear.spec.format == kernels::WeightFormat::kF32) {
    float value;
    std::memcpy(&value, linear.elements.data() + 4 * idx, 4);
    return value;
  }
  std::uint16_t code;
  std::memcpy(&code, linear.elements.data() + 2 * idx, 2);
  return decode_bf16(code);
}

// Value and magnitude (all terms positive) of a sum.
struct Sum {
  double value = 0;
  double magnitude = 0;
  void add(double term, double size) {
    value += term;
    magnitude += size;
  }
};

Sum dot(const RandomLinear& linear, std::uint64_t row, std::span<const float> x) {
  Sum sum;
  for (std::uint64_t k = 0; k < x.size(); ++k) {
    const double term = double{element(linear, row * x.size() + k)} * x[k];
    sum.add(term, std::fabs(term));
  }
  return sum;
}

// One token in float64: y and, for the bound, the same sums over magnitudes. |silu(a)| <= |a| and its slope is
// below 1.1.
std::vector<Sum> naive(const Experts& experts, std::span<const float> x, bool normalize) {
  std::vector<double> p;
  for (std::uint32_t e = 0; e < kExperts; ++e) p.push_back(std::exp(dot(experts.router, e, x).value));
  const double all = std::accumulate(p.begin(), p.end(), 0.0);
  std::vector<std::uint32_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return p[a] > p[b]; });
  double chosen = 0;
  for (std::uint32_t j = 0; j < kTopK; ++j) chosen += p[order[j]];
  std::vector<Sum> y(kHidden);
  for (std::uint32_t j = 0; j < kTopK; ++j) {
    const std::uint64_t e = order[j];
    const double weight = p[e] / (normalize ? chosen : all);
    for (std::uint64_t i = 0; i < kInner; ++i) {
      const Sum gate = dot(experts.gate, e * kInner + i, x);
      const Sum up = dot(experts.up, e * kInner + i, x);
      const double h = gate.value / (1 + std::exp(-gate.value)) * up.value;
      for (std::uint64_t n = 0; n < kHidden; ++n) {
        const double w = weight * element(experts.down, (e * kHidden + n) * kInner + i);
        y[n].add(w * h, std::fabs(w) * 1.1 * gate.magnitude * up.magnitude);
      }
    }
  }
  return y;
}

// Roundings on the longest way: gate and up (64 / 8 + 7 each), down (32 / 8 + 7), silu and product (5), routing weights
// (exp of a logit that carries its sum's error: 15 + 6 + 8), the weighted sum (6).
TEST(SparseMoe, AgreesWithFloat64) {
  Random random(3);
  const Experts experts = make_experts(kernels::WeightFormat::kF32, Activation::k16Bit, random);
  const std::vector<float> x = random.floats(9 * kHidden, -0.6F, 0.6F);
  for (const bool normalize : {true, false}) {
    const std::vector<float> y = run(layer_of(experts, normalize), x, Precision::kF32);
    for (std::size_t t = 0; t < 9; ++t) {
      const std::vector<Sum> expected = naive(experts, std::span(x).subspan(t * kHidden, kHidden), normalize);
      for (std::size_t n = 0; n < kHidden; ++n) {
        const double bound = (15 + 15 + 11 + 5 + 29 + 6) * 0x1p-24 * expected[n].magnitude;
        EXPECT_NEAR(y[t * kHidden + n], expected[n].value, bound) << "token " << t << ", " << n;
      }
    }
  }
}

TEST(SparseMoe, TokensAndWorkersDoNotInfluenceOneAnother) {
  Random random(4);
  const Experts experts = make_experts(kernels::WeightFormat::kNvfp4, Activation::kNvfp4Dynamic, random);
  const SparseMoe moe = layer_of(experts, true);
  const std::vector<float> x = random.floats(13 * kHidden, -1, 1);
  const std::vector<float> together = run(moe, x, Precision::kBF16);
  for (const std::size_t num_workers : {1, 5}) EXPECT_EQ(run(moe, x, Precision::kBF16, num_workers), together);
  for (std::size_t t = 0; t < 13; ++t) {
    const auto alone = run(moe, std::span(x).subspan(t * kHidden, kHidden), Precision::kBF16);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<std::ptrdiff_t>(t * kHidden)));
  }
}

// Expert e of `from` becomes expert place[e].
RandomLinear permuted(const RandomLinear& from, std::span<const std::uint32_t> place, std::size_t num_groups) {
  RandomLinear to = from;
  const auto move = [&](auto& out, const auto& in) {
    const std::size_t size = in.size() / num_groups;
    for (std::size_t e = 0; e < num_groups && size > 0; ++e) {
      std::copy_n(in.data() + e * size, size, out.data() + place[e] * size);
    }
  };
  move(to.elements, from.elements);
  move(to.block_scales, from.block_scales);
  move(to.scale2, from.scale2);
  move(to.input_scale, from.input_scale);
  return to;
}

TEST(SparseMoe, PermutedExpertsWithTheirRouterRowsGiveTheSameBits) {
  Random random(5);
  const std::vector<std::uint32_t> place = {4, 2, 5, 1, 0, 3};
  const std::vector<float> x = random.floats(10 * kHidden, -1, 1);
  for (const auto& [format, activation] : {std::pair(kernels::WeightFormat::kF32, Activation::k16Bit),
                                           std::pair(kernels::WeightFormat::kNvfp4, Activation::k16Bit),
                                           std::pair(kernels::WeightFormat::kNvfp4, Activation::kNvfp4Static),
                                           std::pair(kernels::WeightFormat::kFp8, Activation::kFp8Static)}) {
    const Experts experts = make_experts(format, activation, random);
    const Experts moved{permuted(experts.router, place, kExperts), permuted(experts.gate, place, kExperts),
                        permuted(experts.up, place, kExperts), permuted(experts.down, place, kExperts)};
    for (const bool normalize : {true, false}) {
      for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
        const std::vector<float> y = run(layer_of(experts, normalize), x, precision);
        EXPECT_EQ(y, run(layer_of(moved, normalize), x, precision));
        // Without the router's rows the experts are others: the comparison can fail.
        const Experts wrong{experts.router, moved.gate, moved.up, moved.down};
        EXPECT_NE(y, run(layer_of(wrong, normalize), x, precision));
      }
    }
  }
}

TEST(SparseMoe, ATokenThatIsNotFiniteHarmsNoOther) {
  Random random(6);
  const Experts experts = make_experts(kernels::WeightFormat::kNvfp4, Activation::kNvfp4Static, random);
  const SparseMoe moe = layer_of(experts, true);
  std::vector<float> x = random.floats(5 * kHidden, -1, 1);
  const std::vector<float> clean = run(moe, x, Precision::kBF16);
  x[2 * kHidden + 9] = NAN;
  const std::vector<float> y = run(moe, x, Precision::kBF16);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i / kHidden == 2) {
      EXPECT_TRUE(std::isnan(y[i])) << i;
    } else {
      EXPECT_EQ(y[i], clean[i]) << i;
    }
  }
}

}  // namespace
}  // namespace nvfp4::layers
