// The pairs (token, slot) of few tokens, grouped by expert within one block: chunks of up to kSize pairs of one expert,
// experts in ascending order or, up to 32 pairs, in the order of their first pairs.
//
// Every block finds the same chunks with the same pairs. The order of pairs within a chunk may differ from block to
// block: a pair's numbers do not depend on its place.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_sm90/moe_decode_pairs.h"

namespace nvfp4::kernels::cuda_sm90 {

__device__ __forceinline__ std::uint32_t expert_of(const DecodePairs& pairs, std::uint32_t pair) {
  std::int32_t expert = pairs.ids[pair];
  if (pairs.expert_map != nullptr) {
    expert = static_cast<std::uint32_t>(expert) < pairs.num_ids ? pairs.expert_map[expert] : -1;
  }
  return static_cast<std::uint32_t>(expert) < pairs.num_experts ? static_cast<std::uint32_t>(expert) : kNoExpert;
}

template <std::uint32_t kSize>
class DecodeChunks {
 public:
  __device__ __forceinline__ DecodeChunks(std::uint8_t* shared, const DecodePairs& pairs)
      : pairs_(pairs),
        places_{pairs.ids == nullptr ? 0 : max_decode_chunks(pairs.num_pairs, pairs.num_experts, kSize), kSize,
                pairs.num_pairs, pairs.num_experts},
        shared_(reinterpret_cast<std::uint16_t*>(shared)) {}

  // By all threads of the block; __syncthreads() afterwards.
  __device__ __forceinline__ void group() {
    if (pairs_.ids == nullptr) return;
    if (pairs_.num_pairs <= kFewPairs) {
      if (threadIdx.x < 32) group_few();
    } else {
      group_many();
    }
  }

  __device__ __forceinline__ std::uint32_t num_chunks() const {
    return pairs_.ids == nullptr ? (pairs_.num_pairs + kSize - 1) / kSize : shared_[0];
  }
  __device__ __forceinline__ std::uint32_t expert(std::uint32_t chunk) const {
    return pairs_.ids == nullptr ? 0 : shared_[places_.expert_at() + chunk];
  }
  __device__ __forceinline__ std::uint32_t count(std::uint32_t chunk) const {
    return pairs_.ids == nullptr ? min(kSize, pairs_.num_pairs - chunk * kSize) : shared_[places_.count_at() + chunk];
  }
  __device__ __forceinline__ std::uint32_t member(std::uint32_t chunk, std::uint32_t place) const {
    return pairs_.ids == nullptr ? chunk * kSize + place : shared_[places_.member_at() + chunk * kSize + place];
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

  // Lane p has pair p; the first of every kSize equal ones leads a chunk.
  __device__ __forceinline__ void group_few() {
    const std::uint32_t lane = threadIdx.x;
    const std::uint32_t expert = lane < pairs_.num_pairs ? expert_of(pairs_, lane) : kNoExpert;
    std::uint32_t equal = __match_any_sync(kLanes, expert);
    const std::uint32_t num_equal = __popc(equal);
    const std::uint32_t rank = __popc(equal & ((1U << lane) - 1));
    const bool leads = expert != kNoExpert && rank % kSize == 0;
    const std::uint32_t leaders = __ballot_sync(kLanes, leads);
    for (std::uint32_t skip = rank / kSize * kSize; skip > 0; --skip) equal &= equal - 1;
    const std::uint32_t leader = __ffs(static_cast<int>(equal)) - 1;
    const std::uint32_t chunk = __popc(leaders & ((1U << leader) - 1));
    if (expert != kNoExpert) {
      shared_[places_.member_at() + chunk * kSize + rank % kSize] = static_cast<std::uint16_t>(lane);
    }
    if (leads) set_chunk(chunk, expert, num_equal - rank);
    if (lane == 0) shared_[0] = static_cast<std::uint16_t>(__popc(leaders));
  }

  __device__ __forceinline__ void group_many() {
    std::uint32_t* const count = counters();
    std::uint32_t* const next = count + pairs_.num_experts;
    for (std::uint32_t expert = threadIdx.x; expert < pairs_.num_experts; expert += blockDim.x) count[expert] = 0;
    __syncthreads();
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) {
      const std::uint32_t expert = expert_of(pairs_, pair);
      shared_[places_.expert_of_pair_at() + pair] = static_cast<std::uint16_t>(expert);
      if (expert != kNoExpert) atomicAdd(&count[expert], 1U);
    }
    __syncthreads();
    if (threadIdx.x < 32) place_chunks(count, next);
    __syncthreads();
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) place_pair(pair, count, next);
    __syncthreads();
    for (std::uint32_t pair = threadIdx.x; pair < pairs_.num_pairs; pair += blockDim.x) order_pair(pair, count, next);
  }

  // One warp, 32 experts at a time: next[expert] becomes the place of its first pair.
  __device__ __forceinline__ void place_chunks(const std::uint32_t* count, std::uint32_t* next) {
    const std::uint32_t lane = threadIdx.x;
    std::uint32_t base = 0;
    for (std::uint32_t first = 0; first < pairs_.num_experts; first += 32) {
      const std::uint32_t expert = first + lane;
      const std::uint32_t num_pairs = expert < pairs_.num_experts ? count[expert] : 0;
      const std::uint32_t chunks = (num_pairs + kSize - 1) / kSize;
      std::uint32_t end = chunks;
      for (std::uint32_t step = 1; step < 32; step *= 2) {
        const std::uint32_t before = __shfl_up_sync(kLanes, end, step);
        if (lane >= step) end += before;
      }
      const std::uint32_t begin = base + end - chunks;
      for (std::uint32_t i = 0; i < chunks; ++i) set_chunk(begin + i, expert, num_pairs - i * kSize);
      if (expert < pairs_.num_experts) next[expert] = begin * kSize;
      base += __shfl_sync(kLanes, end, 31);
    }
    if (lane == 0) shared_[0] = static_cast<std::uint16_t>(base);
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
    for (std::uint32_t i = 0; i < count[expert]; ++i) {
      rank += shared_[places_.unordered_at() + begin + i] < pair ? 1 : 0;
    }
    shared_[places_.member_at() + begin + rank] = static_cast<std::uint16_t>(pair);
  }

  const DecodePairs& pairs_;
  const DecodeChunkPlaces places_;
  std::uint16_t* const shared_;
};

}  // namespace nvfp4::kernels::cuda_sm90
