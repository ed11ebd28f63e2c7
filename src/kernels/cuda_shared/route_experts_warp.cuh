// One warp chooses the experts of one token. Lane l holds the scores of kValues neighbouring experts, so that among
// equal scores the lowest lane has the lowest expert.
#pragma once

#include <cstdint>

#include "kernels/contract/device_routing.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kMaxRouterGroups = 32;  // a lane each
inline constexpr std::uint32_t kNoKey = 0;             // below the key of every number

// Unsigned numbers in the order of the floats: both zeros are equal, every NaN is above infinity.
__device__ __forceinline__ std::uint32_t order_key(float value) {
  const std::uint32_t bits = __float_as_uint(value + 0.0F);
  const std::uint32_t key = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return value != value ? 0xFFFFFFFFU : key;
}
__device__ __forceinline__ float value_of_key(std::uint32_t key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7FFFFFFFU : ~key);
}

// All lanes get the same sum: each step adds two numbers that are the same in both lanes.
__device__ __forceinline__ float sum_of_lanes(float value) {
#pragma unroll
  for (std::uint32_t distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

template <std::uint32_t kValues>
__device__ __forceinline__ std::uint32_t largest_of(const std::uint32_t (&keys)[kValues]) {
  std::uint32_t pairs[kValues / 2];
#pragma unroll
  for (std::uint32_t i = 0; i < kValues / 2; ++i) pairs[i] = max(keys[i], keys[i + kValues / 2]);
  if constexpr (kValues == 2) {
    return pairs[0];
  } else {
    return largest_of(pairs);
  }
}

// Shared memory of one warp.
struct RouterScratch {
  static constexpr std::uint32_t kMaxCandidates = 64;
  alignas(16) std::uint32_t lanes[32];
  alignas(8) uint2 candidates[kMaxCandidates];  // id inverted, key: in the order of 64-bit numbers
  uint2 chosen[kMaxMoeTopK];
};

// How many lanes have a larger number than this one. Leaves the numbers in scratch.lanes.
__device__ __forceinline__ std::uint32_t num_larger_lanes(std::uint32_t number, RouterScratch& scratch) {
  __syncwarp();
  scratch.lanes[threadIdx.x % 32] = number;
  __syncwarp();
  std::uint32_t count = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < 8; ++i) {
    const uint4 four = reinterpret_cast<const uint4*>(scratch.lanes)[i];
    count += (four.x > number ? 1U : 0U) + (four.y > number ? 1U : 0U);
    count += (four.z > number ? 1U : 0U) + (four.w > number ? 1U : 0U);
  }
  return count;
}

// What lane j < top_k knows of slot j.
struct RouterSlot {
  std::int32_t id;
  float weight;
};

// kValues: 4, 8, 16; at least num_experts / 32.
template <std::uint32_t kValues>
class WarpRouter {
 public:
  __device__ __forceinline__ WarpRouter(const RouterProblem& problem, const DeviceRouterArgs& args, std::uint32_t token,
                                        RouterScratch& scratch)
      : problem_(problem),
        scratch_(scratch),
        logits_(args.logits + std::size_t{token} * problem.num_experts),
        first_id_(threadIdx.x % 32 * kValues),
        is_softmax_(problem.score == RouterScore::kSoftmax),
        by_logit_(is_softmax_ && !problem.has_bias && problem.num_groups <= 1) {
    load(logits_, logit_);
    if (problem.has_bias) load(args.bias, bias_);
  }

  // All lanes.
  __device__ __forceinline__ RouterSlot route() {
    if (is_softmax_ && !by_logit_) look_at_all();
    Keys keys;
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      float choice = by_logit_ ? logit_[i] : score(logit_[i]);
      if (problem_.has_bias) choice += bias_[i];
      keys[i] = first_id_ + i < problem_.num_experts ? order_key(choice) : kNoKey;
    }
    if (problem_.num_groups > 1) drop_groups(keys);
    const Chosen chosen = choose(keys);
    if (by_logit_) {
      largest_ = __shfl_sync(kAllLanes, value_of_key(chosen.key), 0);
      if (!problem_.normalize) sum_ = sum_of_powers();
    }
    return {static_cast<std::int32_t>(chosen.id), weight(chosen.id)};
  }

 private:
  using Keys = std::uint32_t[kValues];

  struct Chosen {
    std::uint32_t key;
    std::uint32_t id;
  };

  __device__ __forceinline__ void load(const float* from, float (&values)[kValues]) const {
    if (problem_.num_experts % 4 == 0) {
#pragma unroll
      for (std::uint32_t i = 0; i < kValues; i += 4) {
        float4 four = {0.0F, 0.0F, 0.0F, 0.0F};
        if (first_id_ + i < problem_.num_experts) four = *reinterpret_cast<const float4*>(from + first_id_ + i);
        values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
      }
    } else {
#pragma unroll
      for (std::uint32_t i = 0; i < kValues; ++i) {
        values[i] = first_id_ + i < problem_.num_experts ? from[first_id_ + i] : 0.0F;
      }
    }
  }

  // p of the contract. Softmax: when largest_ and sum_ are known.
  __device__ __forceinline__ float score(float logit) const {
    return is_softmax_ ? expf(logit - largest_) / sum_ : __frcp_rn(1.0F + expf(-logit));
  }

  // Lane j gets the j-th largest. The k-th largest of the lanes' maxima bounds the k-th largest of all from below; the
  // few that reach it are ranked among one another.
  __device__ __forceinline__ Chosen choose(const Keys& keys) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t best = largest_of(keys);
    const bool is_above = num_larger_lanes(best, scratch_) < problem_.top_k;
    const std::uint32_t bound = max(__reduce_min_sync(kAllLanes, is_above ? best : 0xFFFFFFFFU), kNoKey + 1);
    std::uint32_t num_candidates = 0;
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      const bool is_candidate = keys[i] >= bound;
      const std::uint32_t all = __ballot_sync(kAllLanes, is_candidate);
      const std::uint32_t place = num_candidates + count_bits(all & ((1U << lane) - 1U));
      if (is_candidate && place < RouterScratch::kMaxCandidates)
        scratch_.candidates[place] = {~(first_id_ + i), keys[i]};
      num_candidates += count_bits(all);
    }
    if (num_candidates > RouterScratch::kMaxCandidates) return choose_among_equals(keys);
    __syncwarp();
    rank_candidate(lane, num_candidates);
    if (num_candidates > 32) rank_candidate(lane + 32, num_candidates);
    __syncwarp();
    const uint2 slot = scratch_.chosen[lane < problem_.top_k ? lane : 0];
    return {slot.y, ~slot.x};
  }
  __device__ __forceinline__ void rank_candidate(std::uint32_t idx, std::uint32_t num_candidates) const {
    const auto number = [](uint2 one) { return static_cast<unsigned long long>(one.y) << 32 | one.x; };
    if (idx >= num_candidates) return;
    const uint2 mine = scratch_.candidates[idx];
    std::uint32_t rank = 0;
#pragma unroll 4
    for (std::uint32_t i = 0; i < num_candidates; ++i) {
      rank += number(scratch_.candidates[i]) > number(mine) ? 1U : 0U;
    }
    if (rank < problem_.top_k) scratch_.chosen[rank] = mine;
  }

  // One after the other: for many equal ones.
  __device__ __forceinline__ Chosen choose_among_equals(const Keys& keys) const {
    const std::uint32_t lane = threadIdx.x % 32;
    std::uint32_t taken = 0;  // of this lane's
    Chosen slot{kNoKey, 0};
    for (std::uint32_t j = 0; j < problem_.top_k; ++j) {
      std::uint32_t best = kNoKey;
      std::uint32_t place = 0;  // of the first with that key
#pragma unroll
      for (std::uint32_t i = 0; i < kValues; ++i) {
        const bool is_better = (taken >> i & 1U) == 0 && keys[i] > best;
        best = is_better ? keys[i] : best;
        place = is_better ? i : place;
      }
      const std::uint32_t key = __reduce_max_sync(kAllLanes, best);
      const std::uint32_t winner = first_lane(__ballot_sync(kAllLanes, best == key));
      const std::uint32_t id = __shfl_sync(kAllLanes, first_id_ + place, static_cast<int>(winner));
      if (lane == winner) taken |= 1U << place;
      if (lane == j) slot = {key, id};
    }
    return slot;
  }
  __device__ __forceinline__ static std::uint32_t first_lane(std::uint32_t lanes) {
    return static_cast<std::uint32_t>(__ffs(static_cast<int>(lanes))) - 1;
  }
  __device__ __forceinline__ static std::uint32_t count_bits(std::uint32_t bits) {
    return static_cast<std::uint32_t>(__popc(bits));
  }

  // Experts outside of the best groups lose their keys.
  __device__ __forceinline__ void drop_groups(Keys& keys) const {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t group_size = problem_.num_experts / problem_.num_groups;
    const std::uint32_t lanes_of_group = group_size / kValues;
    std::uint32_t key = kNoKey;  // lane g has the score of group g
    if (group_size % kValues == 0 && (lanes_of_group & (lanes_of_group - 1)) == 0) {
      const float score = score_of_my_group(keys, lanes_of_group);
      key = order_key(__shfl_sync(kAllLanes, score, static_cast<int>(lane * lanes_of_group % 32)));
      if (lane >= problem_.num_groups) key = kNoKey;
    } else {
      for (std::uint32_t g = 0; g < problem_.num_groups; ++g) {
        const float score = score_of_group(keys, g * group_size, group_size);
        if (lane == g) key = order_key(score);
      }
    }
    // Of equal groups, the lower ones.
    std::uint32_t num_before = num_larger_lanes(key, scratch_);
#pragma unroll
    for (std::uint32_t i = 0; i < 32; ++i) num_before += i < lane && scratch_.lanes[i] == key ? 1U : 0U;
    const std::uint32_t kept = __ballot_sync(kAllLanes, num_before < problem_.top_groups);
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      const std::uint32_t group = (first_id_ + i) / group_size;
      if (group >= problem_.num_groups || (kept >> group & 1U) == 0) keys[i] = kNoKey;
    }
  }

  // The two largest of this lane that are experts [first, first + size).
  struct TwoKeys {
    std::uint32_t best, second;
  };
  __device__ __forceinline__ TwoKeys two_largest(const Keys& keys, std::uint32_t first, std::uint32_t size) const {
    TwoKeys two{kNoKey, kNoKey};
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      const std::uint32_t key = first_id_ + i - first < size ? keys[i] : kNoKey;
      two = {max(two.best, key), max(two.second, min(two.best, key))};
    }
    return two;
  }
  // Sum of the two largest of the group that this lane's experts belong to; a group is a power of two of lanes.
  __device__ __forceinline__ float score_of_my_group(const Keys& keys, std::uint32_t num_lanes) const {
    TwoKeys two = two_largest(keys, 0, problem_.num_experts);
    for (std::uint32_t distance = 1; distance < num_lanes; distance *= 2) {
      const std::uint32_t best = __shfl_xor_sync(kAllLanes, two.best, static_cast<int>(distance));
      const std::uint32_t second = __shfl_xor_sync(kAllLanes, two.second, static_cast<int>(distance));
      two = {max(two.best, best), max(min(two.best, best), max(two.second, second))};
    }
    return value_of_key(two.best) + value_of_key(two.second);
  }
  __device__ __forceinline__ float score_of_group(const Keys& keys, std::uint32_t first, std::uint32_t size) const {
    const TwoKeys mine = two_largest(keys, first, size);
    const std::uint32_t best = __reduce_max_sync(kAllLanes, mine.best);
    const std::uint32_t winner = first_lane(__ballot_sync(kAllLanes, mine.best == best));
    const std::uint32_t second = __reduce_max_sync(kAllLanes, threadIdx.x % 32 == winner ? mine.second : mine.best);
    return value_of_key(best) + value_of_key(second);
  }

  __device__ __forceinline__ void look_at_all() {
    std::uint32_t key = kNoKey;
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      if (first_id_ + i < problem_.num_experts) key = max(key, order_key(logit_[i]));
    }
    largest_ = value_of_key(__reduce_max_sync(kAllLanes, key));
    sum_ = sum_of_powers();
  }

  // Of all exp(logit - largest), in units of 2^-40, as integers: in any order the same. NaN unless the largest is
  // finite.
  __device__ __forceinline__ float sum_of_powers() const {
    constexpr float kUnits = 0x1p40F;
    unsigned long long sum = 0;
#pragma unroll
    for (std::uint32_t i = 0; i < kValues; ++i) {
      if (first_id_ + i < problem_.num_experts) sum += __float2ull_rn(expf(logit_[i] - largest_) * kUnits);
    }
#pragma unroll
    for (std::uint32_t distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    return isfinite(largest_) ? __ull2float_rn(sum) * (1.0F / kUnits) : __uint_as_float(0x7FC00000U);
  }

  __device__ __forceinline__ float weight(std::uint32_t id) const {
    constexpr float kLeastSum = 1e-20F;
    const bool has_slot = threadIdx.x % 32 < problem_.top_k;
    const float logit = has_slot ? logits_[id] : 0.0F;
    // Of a softmax among the chosen only, the sum over all experts falls out.
    float mine = by_logit_ && problem_.normalize ? expf(logit - largest_) : score(logit);
    if (!problem_.normalize) return mine * problem_.scaling;
    mine = has_slot ? mine : 0.0F;
    return mine / (sum_of_lanes(mine) + kLeastSum) * problem_.scaling;
  }

  const RouterProblem& problem_;
  RouterScratch& scratch_;
  const float* logits_;
  std::uint32_t first_id_;
  bool is_softmax_;
  bool by_logit_;
  float largest_ = 0.0F;  // logit
  float sum_ = 1.0F;      // over all experts
  float logit_[kValues];
  float bias_[kValues];
};

}  // namespace nvfp4::kernels
