// The router against the contract in float64: experts chosen, up to what float32 cannot tell apart; weights; and the
// sort of the pairs, exactly.
#include "kernels/cuda_shared/route_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "device/device.h"
#include "support/emulated_size.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;

struct Routed {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  std::vector<std::int32_t> offsets, pair_of_row, row_of_pair;

  bool operator==(const Routed&) const = default;
};

// What float32 may do to a score p, of the order of 1: a few roundings, and that of the exponent.
constexpr double kScoreError = 4e-6;

// One token by the contract.
struct TokenScores {
  std::vector<double> p, c;
  std::vector<bool> allowed;     // in a chosen group
  bool groups_are_clear = true;  // no two groups too near to one another
};

TokenScores scores_of(const RouterProblem& problem, std::span<const float> logits, std::span<const float> bias) {
  TokenScores scores;
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const double p = problem.score == RouterScore::kSoftmax ? std::exp(logits[e] - largest) / sum
                                                            : 1 / (1 + std::exp(-double{logits[e]}));
    scores.p.push_back(p);
    scores.c.push_back(p + (problem.has_bias ? double{bias[e]} : 0.0));
  }
  scores.allowed.assign(logits.size(), true);
  if (problem.num_groups == 1) return scores;
  const std::size_t group_size = logits.size() / problem.num_groups;
  std::vector<std::pair<double, std::size_t>> groups;
  for (std::size_t g = 0; g < problem.num_groups; ++g) {
    std::vector<double> members(scores.c.begin() + static_cast<std::ptrdiff_t>(g * group_size),
                                scores.c.begin() + static_cast<std::ptrdiff_t>((g + 1) * group_size));
    std::partial_sort(members.begin(), members.begin() + 2, members.end(), std::greater<>());
    groups.emplace_back(-(members[0] + members[1]), g);
  }
  std::sort(groups.begin(), groups.end());
  if (problem.top_groups < problem.num_groups) {
    scores.groups_are_clear = groups[problem.top_groups].first - groups[problem.top_groups - 1].first > kScoreError;
  }
  scores.allowed.assign(logits.size(), false);
  for (std::size_t n = 0; n < problem.top_groups; ++n) {
    std::fill_n(scores.allowed.begin() + static_cast<std::ptrdiff_t>(groups[n].second * group_size), group_size, true);
  }
  return scores;
}

void expect_choice(const RouterProblem& problem, std::span<const float> logits, std::span<const float> bias,
                   std::span<const std::int32_t> ids, std::span<const float> weights) {
  const TokenScores scores = scores_of(problem, logits, bias);
  if (!scores.groups_are_clear) return;
  ASSERT_EQ(std::set<std::int32_t>(ids.begin(), ids.end()).size(), ids.size());
  double sum = 0;
  for (const std::int32_t id : ids) {
    ASSERT_TRUE(id >= 0 && id < static_cast<std::int32_t>(logits.size()));
    sum += scores.p[static_cast<std::size_t>(id)];
  }
  std::vector<bool> is_chosen(logits.size());
  for (std::size_t j = 0; j < ids.size(); ++j) {
    const auto id = static_cast<std::size_t>(ids[j]);
    is_chosen[id] = true;
    EXPECT_TRUE(scores.allowed[id]) << "of a group that is not chosen";
    if (j > 0) {
      const auto before = static_cast<std::size_t>(ids[j - 1]);
      EXPECT_GE(scores.c[before], scores.c[id] - kScoreError) << "slot " << j;
      const bool are_equal = logits[before] == logits[id] && (bias.empty() || bias[before] == bias[id]);
      EXPECT_TRUE(!are_equal || before < id) << "of equals, the lower comes first";
    }
    const double expected = scores.p[id] / (problem.normalize ? sum + 1e-20 : 1.0) * problem.scaling;
    EXPECT_NEAR(weights[j], expected, std::abs(expected) * 3e-6 + 1e-30) << "slot " << j;
  }
  const auto last = static_cast<std::size_t>(ids.back());
  for (std::size_t e = 0; e < logits.size(); ++e) {
    if (is_chosen[e] || !scores.allowed[e]) continue;
    EXPECT_LE(scores.c[e], scores.c[last] + kScoreError) << "expert " << e << " was passed over";
    const bool are_equal = logits[e] == logits[last] && (bias.empty() || bias[e] == bias[last]);
    EXPECT_TRUE(!are_equal || e > last) << "of equals, the lower is chosen";
  }
}

class RouteExpertsTest : public ::testing::Test {
 protected:
  Routed route(RouterProblem problem, std::uint32_t num_tokens, const std::vector<float>& logits,
               const std::vector<float>& bias, std::uint32_t num_local) {
    const std::size_t num_pairs = std::size_t{num_tokens} * problem.top_k;
    const GpuArray<float> device_logits(queue_, logits), device_bias(queue_, bias), weights(queue_, num_pairs);
    const GpuArray<std::int32_t> ids(queue_, num_pairs), offsets(queue_, num_local + 1), pair_of_row(queue_, num_pairs),
        row_of_pair(queue_, num_pairs);
    const GpuArray<std::byte> workspace(queue_, sort_workspace_bytes(num_tokens, num_local));
    const DeviceRouterArgs args{num_tokens, device_logits.data(), device_bias.data(), ids.data(), weights.data()};
    queue_.expect_ok(route_and_sort(problem, args, {nullptr, problem.num_experts, num_local},
                                    {offsets.data(), pair_of_row.data(), row_of_pair.data()}, workspace.data(),
                                    queue_.get()));
    Routed routed{ids.host(), weights.host(), offsets.host(), pair_of_row.host(), row_of_pair.host()};
    // The router alone gives the same.
    const GpuArray<float> weights_alone(queue_, num_pairs);
    const GpuArray<std::int32_t> ids_alone(queue_, num_pairs);
    const DeviceRouterArgs alone{num_tokens, device_logits.data(), device_bias.data(), ids_alone.data(),
                                 weights_alone.data()};
    queue_.expect_ok(router_topk_warp().run(problem, alone, queue_.get()));
    EXPECT_EQ(ids_alone.host(), routed.ids);
    const std::vector<float> weights_found = weights_alone.host();
    EXPECT_EQ(std::memcmp(weights_found.data(), routed.weights.data(), num_pairs * sizeof(float)), 0);
    return routed;
  }

  static void expect_sorted(const Routed& routed, std::uint32_t num_local) {
    std::vector<std::int32_t> offsets;
    std::vector<std::int32_t> pair_of_row;
    std::vector<std::int32_t> row_of_pair(routed.ids.size(), -1);
    for (std::int32_t e = 0; e < static_cast<std::int32_t>(num_local); ++e) {
      offsets.push_back(static_cast<std::int32_t>(pair_of_row.size()));
      for (std::size_t pair = 0; pair < routed.ids.size(); ++pair) {
        if (routed.ids[pair] != e) continue;
        row_of_pair[pair] = static_cast<std::int32_t>(pair_of_row.size());
        pair_of_row.push_back(static_cast<std::int32_t>(pair));
      }
    }
    offsets.push_back(static_cast<std::int32_t>(pair_of_row.size()));
    pair_of_row.resize(routed.ids.size(), -1);
    EXPECT_EQ(routed.offsets, offsets);
    EXPECT_EQ(routed.pair_of_row, pair_of_row);
    EXPECT_EQ(routed.row_of_pair, row_of_pair);
  }

  GpuQueue queue_;
  std::mt19937_64 random_{1};
};

// In steps of 1/8, so that there are ties, and logits that differ do so by more than the errors of float32.
std::vector<float> random_steps(std::size_t count, int num_steps, float step, std::mt19937_64& random) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(static_cast<int>(random() % static_cast<unsigned>(2 * num_steps)) - num_steps) * step;
  }
  return values;
}

struct RouterCase {
  const char* name;
  RouterProblem problem;
};

TEST_F(RouteExpertsTest, FollowsTheContract) {
  constexpr auto kSoftmax = RouterScore::kSoftmax;
  constexpr auto kSigmoid = RouterScore::kSigmoid;
  const std::vector<RouterCase> cases = {
      {"qwen3", {kSoftmax, 128, 8, 1, 1, true, false, 1.0F}},
      {"qwen3, not normalized", {kSoftmax, 128, 8, 1, 1, false, false, 1.0F}},
      {"qwen3.6", {kSoftmax, 256, 8, 1, 1, true, false, 1.0F}},
      {"nemotron nano", {kSigmoid, 128, 6, 1, 1, true, true, 2.5F}},
      {"nemotron super", {kSigmoid, 512, 22, 1, 1, true, true, 5.0F}},
      {"deepseek v3", {kSigmoid, 256, 8, 8, 4, true, true, 2.5F}},
      {"groups of 5, one left", {kSigmoid, 35, 4, 7, 1, false, false, 1.0F}},
      {"softmax with bias and groups", {kSoftmax, 64, 6, 4, 2, true, true, 16.0F}},
      {"softmax with bias", {kSoftmax, 60, 4, 1, 1, false, true, 1.0F}},
      {"all of 32", {kSigmoid, 32, 32, 1, 1, true, false, 1.0F}},
      {"one of one", {kSoftmax, 1, 1, 1, 1, true, false, 1.0F}},
      {"many", {kSoftmax, 511, 32, 1, 1, true, false, 1.0F}},
  };
  for (const RouterCase& one : cases) {
    for (const std::uint32_t num_tokens : {1U, 8U, 9U, 33U, 16U, 17U, 64U, 65U, 128U, 129U, 257U, 1000U, 4100U}) {
      if (support::is_for_gpus_only(num_tokens, 65)) continue;
      const RouterProblem& problem = one.problem;
      SCOPED_TRACE(std::string(one.name) + ", " + std::to_string(num_tokens) + " tokens");
      const std::uint32_t e = problem.num_experts;
      const auto logits = random_steps(std::size_t{num_tokens} * e, 40, 0.125F, random_);
      const auto bias = problem.has_bias ? random_steps(e, 16, 0x1p-6F, random_) : std::vector<float>();
      const std::uint32_t num_local = num_tokens % 2 == 0 ? e : (e + 1) / 2;  // others: the rest is elsewhere
      const Routed routed = route(problem, num_tokens, logits, bias, num_local);
      for (std::size_t t = 0; t < num_tokens; ++t) {
        expect_choice(problem, std::span(logits).subspan(t * e, e), bias,
                      std::span(routed.ids).subspan(t * problem.top_k, problem.top_k),
                      std::span(routed.weights).subspan(t * problem.top_k, problem.top_k));
        if (HasFailure()) return;
      }
      expect_sorted(routed, num_local);
      EXPECT_TRUE(route(problem, num_tokens, logits, bias, num_local) == routed) << "twice the same";
      if (HasFailure()) return;
    }
  }
}

TEST_F(RouteExpertsTest, AWeightDoesNotDependOnTheNumbersOfTheExperts) {
  for (const bool normalize : {false, true}) {
    const RouterProblem problem{RouterScore::kSoftmax, 128, 8, 1, 1, normalize, false, 1.0F};
    std::vector<float> logits(128);
    std::iota(logits.begin(), logits.end(), 0.0F);
    for (float& logit : logits) logit = std::sin(logit) * 4.0F;
    const Routed straight = route(problem, 1, logits, {}, 128);
    for (int round = 0; round < (support::kIsEmulated ? 3 : 20); ++round) {
      std::vector<float> shuffled = logits;
      std::shuffle(shuffled.begin(), shuffled.end(), random_);
      EXPECT_EQ(route(problem, 1, shuffled, {}, 128).weights, straight.weights);
    }
  }
}

TEST_F(RouteExpertsTest, NotANumberIsSeen) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid}) {
    for (const bool normalize : {false, true}) {
      const RouterProblem problem{
          score,     40,    4,   score == RouterScore::kSigmoid ? 4U : 1U, score == RouterScore::kSigmoid ? 2U : 1U,
          normalize, false, 1.0F};
      std::vector<float> logits = random_steps(5 * 40, 40, 0.125F, random_);
      logits[0 * 40 + 39] = -kNan;
      std::fill_n(logits.begin() + 40, 40, kNan);
      std::fill_n(logits.begin() + 80, 40, -kInfinity);
      logits[3 * 40 + 7] = kInfinity;
      const Routed routed = route(problem, 5, logits, {}, 40);
      expect_sorted(routed, 40);
      EXPECT_EQ(routed.ids[0], 39);
      EXPECT_EQ(routed.ids[12], 7);
      EXPECT_EQ(std::vector<std::int32_t>(routed.ids.begin() + 4, routed.ids.begin() + 8),
                (std::vector<std::int32_t>{0, 1, 2, 3}));
      for (std::size_t t = 0; t < 5; ++t) {
        const auto first = routed.ids.begin() + static_cast<std::ptrdiff_t>(t * 4);
        EXPECT_EQ(std::set<std::int32_t>(first, first + 4).size(), 4U);
      }
      EXPECT_TRUE(std::isnan(routed.weights[0]));
      EXPECT_TRUE(std::isnan(routed.weights[4]));
      EXPECT_FALSE(std::isnan(routed.weights[16]));
    }
  }
}

TEST(RouterRefusal, SaysWhy) {
  DeviceCaps caps;
  caps.sm = 90;
  EXPECT_EQ(router_topk_warp().refusal({RouterScore::kSigmoid, 256, 8, 8, 4, true, true, 1.0F}, caps), "");
  EXPECT_NE(router_topk_warp().refusal({RouterScore::kSigmoid, 256, 8, 64, 4, true, true, 1.0F}, caps), "");
  EXPECT_NE(router_topk_warp().refusal({RouterScore::kSigmoid, 1024, 8, 1, 1, true, true, 1.0F}, caps), "");
}

}  // namespace
}  // namespace nvfp4::kernels
