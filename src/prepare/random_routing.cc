#include "prepare/random_routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "prepare/random_weight.h"

namespace nvfp4::prepare {
namespace {

// Numbers one after the other.
class Sequence {
 public:
  explicit Sequence(std::uint64_t key) : state_(mix_bits(key)) {}

  [[nodiscard]] std::uint64_t next() { return mix_bits(state_ += 0x9E3779B97F4A7C15ULL); }
  // Below count, which is far below 2^32: no number is noticeably more likely than another.
  [[nodiscard]] std::uint32_t below(std::uint32_t count) {
    return static_cast<std::uint32_t>((next() >> 32U) * count >> 32U);
  }
  [[nodiscard]] float unit() { return static_cast<float>(next() >> 40U) * 0x1p-24F; }

 private:
  std::uint64_t state_;
};

void softmax_of_random(Sequence& random, float* weights, std::uint32_t count) {
  constexpr float kSpread = 2.0F;
  float sum = 0.0F;
  for (std::uint32_t j = 0; j < count; ++j) sum += weights[j] = std::exp(kSpread * random.unit());
  for (std::uint32_t j = 0; j < count; ++j) weights[j] /= sum;
}

}  // namespace

RandomRouting random_routing(std::uint32_t num_tokens, std::uint32_t num_experts, std::uint32_t top_k,
                             std::uint64_t key) {
  const std::size_t num_pairs = std::size_t{num_tokens} * top_k;
  RandomRouting routing;
  routing.expert_ids.resize(num_pairs);
  routing.weights.resize(num_pairs);
  Sequence random(key);
  std::vector<std::int32_t> experts(num_experts);
  std::iota(experts.begin(), experts.end(), 0);
  std::vector<bool> is_chosen(num_experts);
  for (std::size_t first = 0; first < num_pairs; first += top_k) {
    for (std::uint32_t j = 0; j < top_k; ++j) {  // the first steps of a shuffle
      std::swap(experts[j], experts[j + random.below(num_experts - j)]);
      routing.expert_ids[first + j] = experts[j];
      is_chosen[static_cast<std::size_t>(experts[j])] = true;
    }
    softmax_of_random(random, routing.weights.data() + first, top_k);
  }
  routing.num_distinct = static_cast<std::uint32_t>(std::count(is_chosen.begin(), is_chosen.end(), true));
  return routing;
}

}  // namespace nvfp4::prepare
