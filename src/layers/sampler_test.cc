#include "layers/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "layers/counter_random.h"
#include "layers/softmax_weights.h"

namespace nvfp4::layers {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A weight is exp of an FP32 exponent of at most 87 in size (two roundings before, two relative errors of 2^-22 after).
constexpr double kWeightError = 87 * 0x1p-23 + 0x1p-21;

struct Case {
  std::vector<float> logits;
  SamplingParameters parameters;
  std::vector<TokenId> prompt;
  std::vector<TokenId> output;

  [[nodiscard]] SamplerInput input() const { return {logits, parameters, prompt, output}; }
};

// The definition in the header, in FP64 and with whole sorts.
namespace naive {

std::vector<double> penalised(const Case& c) {
  std::vector<double> values(c.logits.begin(), c.logits.end());
  const SamplingParameters& p = c.parameters;
  for (std::size_t token = 0; token < values.size(); ++token) {
    const auto num_in = [&](const std::vector<TokenId>& tokens) {
      return static_cast<double>(std::count(tokens.begin(), tokens.end(), token));
    };
    const double in_output = num_in(c.output);
    if (num_in(c.prompt) + in_output > 0) {
      values[token] *= values[token] > 0 ? 1 / double{p.repetition_penalty} : double{p.repetition_penalty};
    }
    values[token] -= double{p.frequency_penalty} * in_output + (in_output > 0 ? double{p.presence_penalty} : 0.0);
  }
  return values;
}

std::vector<TokenId> ranked(const std::vector<double>& values) {
  std::vector<TokenId> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](TokenId a, TokenId b) { return values[a] > values[b] || (values[a] == values[b] && a < b); });
  return order;
}

struct Kept {
  std::vector<TokenId> tokens;        // ascending
  std::vector<double> probabilities;  // of tokens
  bool near_edge = false;             // a decision was closer than FP32 weights can tell
};

Kept truncated(const Case& c) {
  const SamplingParameters& p = c.parameters;
  const std::vector<double> values = penalised(c);
  std::vector<TokenId> order = ranked(values);
  const auto weight = [&](TokenId token) {
    return std::exp((values[token] - values[order[0]]) / double{p.temperature});
  };
  Kept kept;
  if (p.top_k > 0 && p.top_k < order.size()) order.resize(p.top_k);
  double total = 0;
  for (const TokenId token : order) total += weight(token);
  double ahead = 0;
  std::vector<TokenId> nucleus;
  for (const TokenId token : order) {
    const double edge = double{p.top_p} * total;
    if (p.top_p < 1 && !nucleus.empty() && ahead >= edge) break;
    ahead += weight(token);
    if (p.top_p < 1 && std::abs(ahead - edge) <= 2 * kWeightError * total) kept.near_edge = true;
    nucleus.push_back(token);
  }
  for (const TokenId token : nucleus) {
    if (std::abs(weight(token) - double{p.min_p}) <= kWeightError * double{p.min_p} && token != order[0])
      kept.near_edge = true;
    if (weight(token) < std::exp(-87.0) * (1 + kWeightError) && weight(token) > 0) kept.near_edge = true;
    if (weight(token) >= double{p.min_p} && weight(token) > std::exp(-87.0)) kept.tokens.push_back(token);
  }
  std::sort(kept.tokens.begin(), kept.tokens.end());
  total = 0;
  for (const TokenId token : kept.tokens) total += weight(token);
  for (const TokenId token : kept.tokens) kept.probabilities.push_back(weight(token) / total);
  return kept;
}

}  // namespace naive

std::vector<float> random_logits(std::mt19937_64& random, std::size_t vocab_size, float spread) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(vocab_size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TokenId sample(Sampler& sampler, const Case& c) {
  const auto sampled = sampler.sample(c.input(), {});
  EXPECT_TRUE(sampled.ok());
  return sampled.ok() ? sampled->token : 0;
}

// Compares what the sampler keeps with the definition. Returns whether the case could be decided.
bool expect_same_candidates(Sampler& sampler, const Case& c) {
  const naive::Kept kept = naive::truncated(c);
  if (kept.near_edge) return false;
  const auto found = sampler.candidates(c.input());
  EXPECT_TRUE(found.ok());
  if (!found) return true;
  EXPECT_TRUE(std::equal(found->tokens.begin(), found->tokens.end(), kept.tokens.begin(), kept.tokens.end()));
  if (found->tokens.size() != kept.tokens.size()) return true;
  const double total = sum_of(found->weights);
  for (std::size_t i = 0; i < kept.tokens.size(); ++i) {
    const double probability = static_cast<double>(found->weights[i]) / total;
    // Penalties round in FP32 too: a logit of size 64 moves by 2^-18 / temperature at most.
    const double tolerance = (2 * kWeightError + 0x1p-17 / double{c.parameters.temperature}) * kept.probabilities[i];
    EXPECT_NEAR(probability, kept.probabilities[i], tolerance);
  }
  return true;
}

TEST(CounterRandom, GivesThePublishedVectors) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(SoftmaxWeights, ExpIsWithinItsBound) {
  EXPECT_EQ(exp_of_negative(0.0F), 1.0F);
  EXPECT_EQ(exp_of_negative(-kInfinity), 0.0F);
  EXPECT_EQ(exp_of_negative(std::nextafter(kMinExponent, -kInfinity)), 0.0F);
  double worst = 0;
  // Every 61st FP32 number of the range.
  for (std::uint32_t bits = std::bit_cast<std::uint32_t>(kMinExponent); bits > 0x80000000U + 61; bits -= 61) {
    const float x = std::bit_cast<float>(bits);
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp_of_negative(x)) / exact - 1));
  }
  EXPECT_LT(worst, 0x1p-22);
}

TEST(Sampler, GreedyTakesTheLowestOfTheLargest) {
  Sampler sampler(9);
  Case c{{1, 5, -kInfinity, 5, 4, 5, 0, 0, 0}, {}, {}, {}};
  EXPECT_EQ(sample(sampler, c), 1U);
  c.logits = {-3, -2, -2, -9, -9, -9, -9, -9, -2};
  EXPECT_EQ(sample(sampler, c), 1U);
  c.logits = {-kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity, -1e30F};
  EXPECT_EQ(sample(sampler, c), 8U);
}

TEST(Sampler, PenaltiesFollowTheDefinition) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    Case c{random_logits(random, 200, 3), {}, {}, {}};
    const auto real = [&](float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); };
    c.parameters.repetition_penalty = i % 2 == 0 ? 1.0F : real(0.5F, 2);
    c.parameters.presence_penalty = i % 3 == 0 ? 0.0F : real(-2, 2);
    c.parameters.frequency_penalty = i % 5 == 0 ? 0.0F : real(-2, 2);
    for (int t = 0; t < 60; ++t) c.prompt.push_back(static_cast<TokenId>(random() % 200));
    for (int t = 0; t < 60; ++t) c.output.push_back(static_cast<TokenId>(random() % 30));
    Sampler sampler(200);
    const std::vector<double> values = naive::penalised(c);
    EXPECT_EQ(sample(sampler, c), naive::ranked(values)[0]);
    c.parameters.temperature = 1;
    EXPECT_TRUE(expect_same_candidates(sampler, c));
    // The same again: nothing of a call stays behind.
    EXPECT_TRUE(expect_same_candidates(sampler, c));
  }
}

TEST(Sampler, KeepsTheExactSets) {
  std::mt19937_64 random(2);
  int num_cases = 0;
  int num_decided = 0;
  for (const std::uint32_t vocab_size : {1U, 2U, 3U, 50U, 1500U, 20000U}) {
    Sampler sampler(vocab_size);
    const int repeats = vocab_size > 1000 ? 60 : 400;
    for (int i = 0; i < repeats; ++i, ++num_cases) {
      Case c{random_logits(random, vocab_size, i % 7 == 0 ? 0.01F : 4.0F), {}, {}, {}};
      if (i % 3 == 0) {
        for (float& logit : c.logits) logit = std::round(logit);  // many ties
      }
      if (i % 11 == 0) c.logits[random() % vocab_size] = -kInfinity;
      if (std::all_of(c.logits.begin(), c.logits.end(), [](float logit) { return logit == -kInfinity; }))
        c.logits[0] = 0;
      constexpr std::array kTopPs{1.0F, 0.0F, 0.1F, 0.5F, 0.9F, 0.95F, 0.999F};
      constexpr std::array kMinPs{0.0F, 0.0F, 0.05F, 0.3F, 1.0F};
      constexpr std::array kTemperatures{1.0F, 0.3F, 2.5F, 100.0F};
      c.parameters.temperature = kTemperatures[random() % kTemperatures.size()];
      c.parameters.top_p = kTopPs[random() % kTopPs.size()];
      c.parameters.min_p = kMinPs[random() % kMinPs.size()];
      c.parameters.top_k = std::array{0U, 1U, 2U, 20U, vocab_size, vocab_size + 1, 700U, 0xffffffffU}[random() % 8];
      num_decided += expect_same_candidates(sampler, c) ? 1 : 0;
      if (HasFailure()) {
        FAIL() << "vocab " << vocab_size << " case " << i << " T " << c.parameters.temperature << " k "
               << c.parameters.top_k << " p " << c.parameters.top_p << " min_p " << c.parameters.min_p;
      }
    }
  }
  EXPECT_GT(num_decided, num_cases * 8 / 10);
}

TEST(Sampler, TopKOfEqualLogitsKeepsTheLowestIds) {
  Sampler sampler(5000);
  Case c{std::vector<float>(5000, 1.5F), {}, {}, {}};
  c.parameters.temperature = 1;
  for (const std::uint32_t top_k : {1U, 40U, 1000U, 2499U, 2501U, 4999U}) {
    c.parameters.top_k = top_k;
    const auto found = sampler.candidates(c.input());
    ASSERT_EQ(found->tokens.size(), top_k);
    EXPECT_EQ(found->tokens.back(), top_k - 1);
  }
}

// The nucleus of a flat distribution needs nearly the whole vocabulary.
TEST(Sampler, TopPGrowsAsFarAsItMust) {
  Sampler sampler(100000);
  Case c{std::vector<float>(100000, 0.0F), {}, {}, {}};
  c.parameters.temperature = 1;
  for (const float top_p : {0.25F, 0.5F, 0.75F}) {
    c.parameters.top_p = top_p;
    EXPECT_EQ(sampler.candidates(c.input())->tokens.size(), static_cast<std::size_t>(top_p * 100000));
  }
}

TEST(Sampler, ExtremeValuesStayDefined) {
  std::mt19937_64 random(3);
  Sampler sampler(1000);
  Case c{random_logits(random, 1000, 5), {}, {}, {}};
  const TokenId best = sample(sampler, c);
  c.parameters.temperature = 1e-6F;
  EXPECT_EQ(sample(sampler, c), best);
  c.parameters.temperature = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(sample(sampler, c), best);
  c.parameters.temperature = 1;
  c.parameters.top_p = 0;
  EXPECT_EQ(sample(sampler, c), best);
  c.parameters.top_p = 1;
  c.parameters.min_p = 1;
  EXPECT_EQ(sample(sampler, c), best);
  c.parameters.min_p = 0;
  c.parameters.top_k = 1;
  EXPECT_EQ(sample(sampler, c), best);
  c.parameters.top_k = 0;
  c.parameters.temperature = 3e38F;
  EXPECT_EQ(sampler.candidates(c.input())->tokens.size(), 1000U);

  c.logits.assign(1000, -kInfinity);
  c.logits[77] = -3e38F;
  c.parameters.repetition_penalty = 10;
  c.prompt = {77};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    c.parameters.seed = seed;
    EXPECT_EQ(sample(sampler, c), 77U);
  }
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
  Sampler sampler(100);
  for (const std::size_t at : {0UL, 50UL, 99UL}) {
    Case c{std::vector<float>(100, 1.0F), {}, {}, {}};
    c.logits[at] = std::numeric_limits<float>::quiet_NaN();
    const auto nan = sampler.sample(c.input(), {});
    ASSERT_FALSE(nan.ok());
    EXPECT_THAT(nan.error().to_string(), testing::HasSubstr("token " + std::to_string(at) + ": is nan"));
    c.logits[at] = kInfinity;
    EXPECT_FALSE(sampler.sample(c.input(), {}).ok());
    c.parameters.temperature = 1;
    EXPECT_FALSE(sampler.candidates(c.input()).ok());
  }
  const Case none{std::vector<float>(100, -kInfinity), {}, {}, {}};
  EXPECT_FALSE(sampler.sample(none.input(), {}).ok());
}

// Pearson's statistic of `num_draws` draws against the definition. With n - 1 degrees of freedom its mean is n - 1 and
// its deviation sqrt(2 (n - 1)): six deviations are beyond chance, and the seeds are fixed.
template <class DrawAt>
void expect_distribution(const Case& c, int num_draws, DrawAt draw_at) {
  const naive::Kept kept = naive::truncated(c);
  ASSERT_GT(kept.tokens.size(), 3U);
  std::vector<int> counts(c.logits.size());
  for (int i = 0; i < num_draws; ++i) ++counts[draw_at(i)];
  double statistic = 0;
  double pooled_expected = 0;  // cells that are too rare for the statistic, together
  double pooled_count = 0;
  int num_cells = 0;
  int num_counted = 0;
  for (std::size_t k = 0; k < kept.tokens.size(); ++k) {
    const double expected = kept.probabilities[k] * num_draws;
    const double count = counts[kept.tokens[k]];
    num_counted += counts[kept.tokens[k]];
    if (expected < 10) {
      pooled_expected += expected;
      pooled_count += count;
      continue;
    }
    statistic += (count - expected) * (count - expected) / expected;
    ++num_cells;
  }
  if (pooled_expected >= 10) {
    statistic += (pooled_count - pooled_expected) * (pooled_count - pooled_expected) / pooled_expected;
    ++num_cells;
  }
  EXPECT_EQ(num_counted, num_draws) << "a token outside of the set was drawn";
  const double freedom = num_cells - 1;
  EXPECT_LT(statistic, freedom + 6 * std::sqrt(2 * freedom));
}

struct Mix {
  float temperature;
  std::uint32_t top_k;
  float top_p;
  float min_p;
  std::size_t vocab_size;
};

class SamplerDistribution : public testing::TestWithParam<Mix> {};

TEST_P(SamplerDistribution, MatchesTheDefinitionOverTokensAndOverSeeds) {
  const Mix& mix = GetParam();
  std::mt19937_64 random(4);
  Case c{random_logits(random, mix.vocab_size, 1.5F), {}, {}, {}};
  c.parameters.temperature = mix.temperature;
  c.parameters.top_k = mix.top_k;
  c.parameters.top_p = mix.top_p;
  c.parameters.min_p = mix.min_p;
  Sampler sampler(static_cast<std::uint32_t>(mix.vocab_size));
  const int num_draws = mix.vocab_size > 1000 ? 20000 : 100000;
  const std::vector<TokenId> history(static_cast<std::size_t>(num_draws), 0U);
  c.parameters.seed = 12345;
  expect_distribution(c, num_draws, [&](int i) {
    const SamplerInput input{c.logits, c.parameters, {}, std::span(history).first(static_cast<std::size_t>(i))};
    return sampler.sample(input, {})->token;
  });
  expect_distribution(c, num_draws, [&](int i) {
    c.parameters.seed = static_cast<std::uint64_t>(i);
    return sample(sampler, c);
  });
}

INSTANTIATE_TEST_SUITE_P(Mixes, SamplerDistribution,
                         testing::Values(Mix{1, 0, 1, 0, 60}, Mix{0.6F, 20, 0.95F, 0, 60}, Mix{2, 0, 0.8F, 0, 60},
                                         Mix{1, 0, 1, 0.1F, 60}, Mix{1.3F, 30, 0.9F, 0.05F, 60}, Mix{1, 0, 1, 0, 3000},
                                         Mix{1, 0, 0.5F, 0, 3000}));

TEST(Sampler, DrawDependsOnSeedAndNumberOfTheTokenOnly) {
  std::mt19937_64 random(5);
  Case c{random_logits(random, 500, 1), {}, {}, {}};
  c.parameters.temperature = 1;
  c.parameters.seed = 9;
  Sampler first(500);
  Sampler second(500);
  std::vector<TokenId> alone;
  for (int i = 0; i < 200; ++i) {
    alone.push_back(sample(first, c));
    c.output.push_back(alone.back());
  }
  c.output.clear();
  for (int i = 0; i < 200; ++i) {
    Case other{random_logits(random, 500, 2), c.parameters, {}, {}};
    other.parameters.seed = random();
    (void)sample(second, other);
    ASSERT_EQ(sample(second, c), alone[static_cast<std::size_t>(i)]);
    c.output.push_back(static_cast<TokenId>(i));  // other history, same number of tokens
  }
  c.parameters.seed = 10;
  c.output.clear();
  std::vector<TokenId> other_seed;
  for (int i = 0; i < 200; ++i) {
    other_seed.push_back(sample(first, c));
    c.output.push_back(0);
  }
  EXPECT_NE(other_seed, alone);
}

TEST(Sampler, LogprobsAreThoseOfTheRawLogits) {
  std::mt19937_64 random(6);
  Sampler sampler(3000);
  std::vector<TokenLogprob> top(SamplingParameters::kMaxLogprobs);
  for (int i = 0; i < 20; ++i) {
    Case c{random_logits(random, 3000, 4), {}, {1, 2, 3}, {4, 4}};
    c.parameters.temperature = i % 2 == 0 ? 0.0F : 0.7F;
    c.parameters.top_k = 5;
    c.parameters.repetition_penalty = 1.5F;
    c.parameters.num_logprobs = static_cast<std::uint32_t>(i * 6);
    const auto sampled = sampler.sample(c.input(), top);
    ASSERT_TRUE(sampled.ok());
    ASSERT_EQ(sampled->num_top_logprobs, static_cast<std::uint32_t>(i * 6));
    const std::vector<double> values(c.logits.begin(), c.logits.end());
    const std::vector<TokenId> order = naive::ranked(values);
    double sum = 0;
    for (const double value : values) sum += std::exp(value - values[order[0]]);
    const auto expected = [&](TokenId token) { return values[token] - values[order[0]] - std::log(sum); };
    // The error of log(sum) is the relative one of the weights; then one rounding to FP32 of at most 64.
    constexpr double kTolerance = kWeightError + 0x1p-18;
    ASSERT_TRUE(sampled->logprob.has_value());
    EXPECT_NEAR(static_cast<double>(*sampled->logprob), expected(sampled->token), kTolerance);
    for (std::size_t rank = 0; rank < sampled->num_top_logprobs; ++rank) {
      EXPECT_EQ(top[rank].token, order[rank]);
      EXPECT_NEAR(static_cast<double>(top[rank].logprob), expected(order[rank]), kTolerance);
    }
  }
  Case small{{1, 2}, {}, {}, {}};
  Sampler pair(2);
  EXPECT_FALSE(pair.sample(small.input(), {})->logprob.has_value());
  small.parameters.num_logprobs = 5;
  EXPECT_EQ(pair.sample(small.input(), top)->num_top_logprobs, 2U);
}

TEST(SamplingParameters, NamesTheFieldThatIsOutOfRange) {
  const auto refused = [](auto change) {
    SamplingParameters parameters;
    change(parameters);
    const Status status = parameters.validate();
    return status.ok() ? std::string("accepted") : status.error().to_string();
  };
  using testing::StartsWith;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refused([](auto& p) { p.temperature = 0; }), "accepted");
  EXPECT_THAT(refused([](auto& p) { p.temperature = -0.5F; }), StartsWith("temperature: -0.5 is not possible"));
  EXPECT_THAT(refused([](auto& p) { p.temperature = kInfinity; }), StartsWith("temperature: inf"));
  EXPECT_THAT(refused([](auto& p) { p.top_p = 1.5F; }), StartsWith("top_p: 1.5"));
  EXPECT_THAT(refused([](auto& p) { p.top_p = kNan; }), StartsWith("top_p: nan"));
  EXPECT_THAT(refused([](auto& p) { p.min_p = -1; }), StartsWith("min_p: -1"));
  EXPECT_THAT(refused([](auto& p) { p.repetition_penalty = 0; }), StartsWith("repetition_penalty: 0"));
  EXPECT_THAT(refused([](auto& p) { p.presence_penalty = 2.5F; }), StartsWith("presence_penalty: 2.5"));
  EXPECT_THAT(refused([](auto& p) { p.frequency_penalty = -3; }), StartsWith("frequency_penalty: -3"));
  EXPECT_THAT(refused([](auto& p) { p.num_logprobs = 129; }), StartsWith("num_logprobs: 129"));
}

}  // namespace
}  // namespace nvfp4::layers
