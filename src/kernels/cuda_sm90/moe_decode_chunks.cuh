// The pairs (token, slot) of few tokens, grouped by expert within one block: chunks of up to kSize pairs of one expert,
// experts in ascending order or, up to 32 pairs, in the order of their first pairs.
//
// Every block finds the same chunks with the same pairs. The order of pairs within a chunk may differ from block to
// block: a pair's numbers do not depend on its place.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_sm90/moe_decode_pairs.h"

namespace nvfp4::kernels::cuda_sm90 {

__device__ __forceinline__ std::uint32_t expert_of_id(const DecodePairs& pairs, std::int32_t id) {
  std::int32_t expert = id;
  if (pairs.expert_map != nullptr) {
    expert = static_cast<std::uint32_t>(id) < pairs.num_ids ? pairs.expert_map[id] : -1;
  }
  return static_cast<std::uint32_t>(expert) < pairs.num_experts ? static_cast<std::uint32_t>(expert) : kNoExpert;
}
__device__ __forceinline__ std::uint32_t expert_of(const DecodePairs& pairs, std::uint32_t pair) {
  return expert_of_id(pairs, pairs.ids[pair]);
}

template <std::uint32_t kSize, DecodeIds kIds>
class DecodeChunks {
 public:
  __device__ __forceinline__ DecodeChunks(std::uint8_t* shared, const DecodePairs& pairs)
      : pairs_(pairs),
        places_{has_ids() ? max_decode_chunks(pairs.num_pairs, pairs.num_experts, kSize) : 0, kSize, pairs.num_pairs,
                pairs.num_experts},
        shared_(reinterpret_cast<std::uint16_t*>(shared)) {}

  __device__ __forceinline__ bool has_ids() const {
    return kIds != DecodeIds::kNone && (kIds == DecodeIds::kOfFew || pairs_.ids != nullptr);
  }

  // By all threads of the block: load() and clear(), group(), list(), __syncthreads() if there are ids. Of few pairs
  // every warp knows num_chunks(), first_expert() and own_expert() after group(). Only load() and group() read the ids.
  __device__ __forceinline__ void load() {
    if constexpr (kIds == DecodeIds::kNone) {
      num_chunks_ = (pairs_.num_pairs + kSize - 1) / kSize;
      pin(num_chunks_);  // computed here: the first reads of the call's parameters then take their time together
    } else if (has_ids()) {
      const std::uint32_t pair = are_few() ? threadIdx.x % 32 : threadIdx.x;
      if (pair < pairs_.num_pairs) id_ = pairs_.ids[pair];
    }
  }
  __device__ __forceinline__ void clear() {
    if (!has_ids() || are_few()) return;
    std::uint32_t* const count = counters();
#pragma unroll 1
    for (std::uint32_t expert = threadIdx.x; expert < pairs_.num_experts; expert += blockDim.x) count[expert] = 0;
    __syncthreads();
  }
  __device__ __forceinline__ void group() {
    if constexpr (kIds == DecodeIds::kNone) return;
    if (!has_ids()) {
      num_chunks_ = (pairs_.num_pairs + kSize - 1) / kSize;
    } else if (are_few()) {
      group_few();
    } else {
      group_many();
      __syncthreads();
      num_chunks_ = shared_[0];
    }
  }
  __device__ __forceinline__ void list() {
    if (has_ids() && are_few() && threadIdx.x < 32) list_few();
  }

  __device__ __forceinline__ std::uint32_t num_chunks() const { return num_chunks_; }
  // Of few pairs: that of the lane's.
  __device__ __forceinline__ std::uint32_t own_expert() const { return expert_; }
  // By all lanes of a warp, for a chunk that is there: what expert() gives after list().
  __device__ __forceinline__ std::uint32_t first_expert(std::uint32_t chunk) const {
    if (!has_ids() || !are_few()) return expert(chunk);
    const std::uint32_t before = __popc(leaders_ & lanes_below());
    const std::uint32_t leader = __ballot_sync(kLanes, leads() && before == chunk ? 1 : 0);
    return __shfl_sync(kLanes, expert_, __ffs(static_cast<int>(leader)) - 1);
  }
  __device__ __forceinline__ std::uint32_t expert(std::uint32_t chunk) const {
    return !has_ids() ? 0 : shared_[places_.expert_at() + chunk];
  }
  __device__ __forceinline__ std::uint32_t count(std::uint32_t chunk) const {
    return !has_ids() ? min(kSize, pairs_.num_pairs - chunk * kSize) : shared_[places_.count_at() + chunk];
  }
  __device__ __forceinline__ std::uint32_t member(std::uint32_t chunk, std::uint32_t place) const {
    return !has_ids() ? chunk * kSize + place : shared_[places_.member_at() + chunk * kSize + place];
  }

 private:
  static constexpr std::uint32_t kLanes = 0xFFFFFFFFU;

  __device__ __forceinline__ void set_chunk(std::uint32_t chunk, std::uint32_t expert, std::uint32_t left) {
    shared_[places_.expert_at() + chunk] = static_cast<std::uint16_t>(expert);
    shared_[places_.count_at() + chunk] = static_cast<std::uint16_t>(min(left, kSize));
  }
  __device__ __forceinline__ std::uint32_t* counters() {
    return reinterpret_cast<std::uint32_t*>(shared_ + places_.counters_at());
  }

  __device__ __forceinline__ bool are_few() const { return kIds == DecodeIds::kOfFew || pairs_.num_pairs <= kFewPairs; }
  __device__ __forceinline__ static std::uint32_t lanes_below() { return (1U << threadIdx.x % 32) - 1; }

  // Lane p has pair p; the first of every kSize equal ones leads a chunk.
  __device__ __forceinline__ bool leads() const { return expert_ != kNoExpert && rank_ % kSize == 0; }
  __device__ __forceinline__ void group_few() {
    if (threadIdx.x % 32 < pairs_.num_pairs) expert_ = expert_of_id(pairs_, id_);
    equal_ = __match_any_sync(kLanes, expert_);
    rank_ = __popc(equal_ & lanes_below());
    leaders_ = __ballot_sync(kLanes, leads() ? 1 : 0);
    num_chunks_ = __popc(leaders_);
  }
  __device__ __forceinline__ void list_few() {
    if (expert_ == kNoExpert) return;
    std::uint32_t chunk_and_later = equal_;
#pragma unroll 1
    for (std::uint32_t skip = rank_ / kSize * kSize; skip > 0; --skip) chunk_and_later &= chunk_and_later - 1;
    const std::uint32_t leader = __ffs(static_cast<int>(chunk_and_later)) - 1;
    const std::uint32_t chunk = __popc(leaders_ & ((1U << leader) - 1));
    shared_[places_.member_at() + chunk * kSize + rank_ % kSize] = static_cast<std::uint16_t>(threadIdx.x);
    if (leads()) set_chunk(chunk, expert_, __popc(equal_) - rank_);
  }

  __device__ __forceinline__ void group_many() {
    std::uint32_t* const count = counters();
    std::uint32_t* const next = count + pairs_.num_experts;
#pragma unroll 1
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) {
      const std::uint32_t expert = expert_of_id(pairs_, pair == threadIdx.x ? id_ : pairs_.ids[pair]);
      shared_[places_.expert_of_pair_at() + pair] = static_cast<std::uint16_t>(expert);
      if (expert != kNoExpert) atomicAdd(&count[expert], 1U);
    }
    __syncthreads();
    place_chunks(count, next);
    __syncthreads();
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) place_pair(pair, count, next);
    __syncthreads();
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) order_pair(pair, count, next);
  }

  // 32 experts by a warp, which adds up the chunks of those before: next[expert] becomes the place of its first pair.
  __device__ __forceinline__ void place_chunks(const std::uint32_t* count, std::uint32_t* next) {
    const std::uint32_t lane = threadIdx.x % 32;
    const auto chunks_of = [](std::uint32_t num_pairs) { return (num_pairs + kSize - 1) / kSize; };
#pragma unroll 1
    for (std::uint32_t first = threadIdx.x - lane; first < pairs_.num_experts; first += blockDim.x) {
      std::uint32_t own_before = 0;
#pragma unroll 4
      for (std::uint32_t other = lane; other < first; other += 32) own_before += chunks_of(count[other]);
      const std::uint32_t before = __reduce_add_sync(kLanes, own_before);
      const std::uint32_t expert = first + lane;
      const std::uint32_t num_pairs = expert < pairs_.num_experts ? count[expert] : 0;
      const std::uint32_t chunks = chunks_of(num_pairs);
      std::uint32_t end = chunks;
#pragma unroll
      for (std::uint32_t step = 1; step < 32; step *= 2) {
        const std::uint32_t below = __shfl_up_sync(kLanes, end, step);
        if (lane >= step) end += below;
      }
      const std::uint32_t begin = before + end - chunks;
#pragma unroll 1
      for (std::uint32_t i = 0; i < chunks; ++i) set_chunk(begin + i, expert, num_pairs - i * kSize);
      if (expert < pairs_.num_experts) next[expert] = begin * kSize;
      if (expert == pairs_.num_experts - 1) shared_[0] = static_cast<std::uint16_t>(before + end);
    }
  }

  __device__ __forceinline__ void place_pair(std::uint32_t pair, const std::uint32_t* count, std::uint32_t* next) {
    const std::uint32_t expert = shared_[places_.expert_of_pair_at() + pair];
    if (expert == kNoExpert) return;
    const std::uint32_t place = atomicAdd(&next[expert], 1U);
    shared_[places_.unordered_at() + place] = static_cast<std::uint16_t>(pair);
    if (count[expert] <= kSize) shared_[places_.member_at() + place] = static_cast<std::uint16_t>(pair);
  }

  // Which pairs share a chunk must not depend on who came first: experts of several chunks have their pairs in order.
  __device__ __forceinline__ void order_pair(std::uint32_t pair, const std::uint32_t* count,
                                             const std::uint32_t* next) {
    const std::uint32_t expert = shared_[places_.expert_of_pair_at() + pair];
    if (expert == kNoExpert || count[expert] <= kSize) return;
    const std::uint32_t begin = next[expert] - count[expert];
    std::uint32_t rank = 0;
#pragma unroll 4
    for (std::uint32_t i = 0; i < count[expert]; ++i) {
      rank += shared_[places_.unordered_at() + begin + i] < pair ? 1 : 0;
    }
    shared_[places_.member_at() + begin + rank] = static_cast<std::uint16_t>(pair);
  }

  const DecodePairs& pairs_;
  const DecodeChunkPlaces places_;
  std::uint16_t* const shared_;
  std::uint32_t num_chunks_ = 0;
  // Of few pairs.
  std::int32_t id_ = 0;
  std::uint32_t expert_ = kNoExpert;
  std::uint32_t equal_ = 0;    // the lanes with the same expert
  std::uint32_t rank_ = 0;     // among them
  std::uint32_t leaders_ = 0;  // lanes
};

}  // namespace nvfp4::kernels::cuda_sm90
