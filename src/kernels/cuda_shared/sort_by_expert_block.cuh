// Sorting pairs by expert within one block of threads: for kernels that need the order of few pairs at once.
#pragma once

#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kAllLanes = 0xFFFFFFFFU;

// Place of an expert, or -1.
__device__ __forceinline__ std::int32_t expert_place(const ExpertLookup& lookup, std::int32_t id) {
  if (static_cast<std::uint32_t>(id) >= lookup.num_ids) return -1;
  const std::int32_t place = lookup.expert_map == nullptr ? id : lookup.expert_map[id];
  return static_cast<std::uint32_t>(place) < lookup.num_experts ? place : -1;
}

// Sum over the lanes before this one.
__device__ __forceinline__ std::uint32_t sum_of_earlier_lanes(std::uint32_t value) {
  std::uint32_t sum = value;
  const std::uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (std::uint32_t distance = 1; distance < 32; distance *= 2) {
    const std::uint32_t other = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += other;
  }
  return sum - value;
}

// Sum over the threads before this one; all threads of the block, which has kWarps warps. warp_sums [kWarps] is shared.
template <std::uint32_t kWarps>
__device__ __forceinline__ std::uint32_t sum_of_earlier_threads(std::uint32_t value, std::uint32_t* warp_sums) {
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t before = sum_of_earlier_lanes(value);
  if (lane == 31) warp_sums[warp] = before + value;
  __syncthreads();
  const std::uint32_t earlier_warp = lane < warp && lane < kWarps ? warp_sums[lane] : 0;
  return before + __reduce_add_sync(kAllLanes, earlier_warp);
}

// Lanes that have the same expert as this one; none where it is negative. By ballots: a match instruction takes its
// time for each number that occurs.
__device__ __forceinline__ std::uint32_t lanes_with_same_expert(std::int32_t expert) {
  static_assert(kMaxMoeExperts <= 512, "nine bits");
  std::uint32_t same = __ballot_sync(kAllLanes, expert >= 0);
#pragma unroll
  for (std::uint32_t bit = 0; bit < 9; ++bit) {
    const bool is_set = (expert >> bit & 1) != 0;
    const std::uint32_t set = __ballot_sync(kAllLanes, is_set);
    same &= is_set ? set : ~set;
  }
  return same;
}

// A thread has kItems pairs, a warp 32 * kItems consecutive ones.
template <std::uint32_t kThreads, std::uint32_t kItems>
struct BlockPairs {
  static constexpr std::uint32_t kWarps = kThreads / 32;
  static constexpr std::uint32_t kPairs = kThreads * kItems;

  // How many pairs of each expert each warp has; then, how many the warps before it have.
  using Counts = std::uint16_t[kWarps][kMaxMoeExperts];

  __device__ static std::uint32_t pair_idx(std::uint32_t item_idx) {
    return (threadIdx.x / 32 * kItems + item_idx) * 32 + threadIdx.x % 32;
  }

  // rank: number of earlier pairs of this warp with the same expert. expert: -1 for none.
  __device__ static void rank_in_warp(const std::int32_t (&expert)[kItems], std::uint32_t num_experts, Counts& counts,
                                      std::uint32_t (&rank)[kItems]) {
    const std::uint32_t lane = threadIdx.x % 32;
    std::uint16_t* const mine = counts[threadIdx.x / 32];
    auto* const words = reinterpret_cast<std::uint32_t*>(mine);
    for (std::uint32_t i = lane; i < (num_experts + 1) / 2; i += 32) words[i] = 0;
#pragma unroll
    for (std::uint32_t i = 0; i < kItems; ++i) {
      const std::uint32_t same = lanes_with_same_expert(expert[i]);
      const std::uint32_t earlier = same & ((1U << lane) - 1U);
      __syncwarp();  // zeros and the last item's counts
      const std::uint32_t before = expert[i] >= 0 ? mine[expert[i]] : 0;
      rank[i] = before + __popc(earlier);
      __syncwarp();
      if (expert[i] >= 0 && earlier == 0) mine[expert[i]] = static_cast<std::uint16_t>(before + __popc(same));
    }
  }

  // counts[warp][expert] becomes the sum over the warps before; answers the sum over all.
  __device__ static std::uint32_t sum_warps(Counts& counts, std::uint32_t expert) {
    std::uint32_t of_warp[kWarps];  // loads first: none waits for a store
#pragma unroll
    for (std::uint32_t warp = 0; warp < kWarps; ++warp) of_warp[warp] = counts[warp][expert];
    std::uint32_t sum = 0;
#pragma unroll
    for (std::uint32_t warp = 0; warp < kWarps; ++warp) {
      counts[warp][expert] = static_cast<std::uint16_t>(sum);
      sum += of_warp[warp];
    }
    return sum;
  }
};

// The rows of up to kThreads * kItems pairs.
template <std::uint32_t kThreads, std::uint32_t kItems>
struct BlockSort : BlockPairs<kThreads, kItems> {
  using Pairs = BlockPairs<kThreads, kItems>;

  struct Shared {
    alignas(16) typename Pairs::Counts counts;
    std::uint32_t warp_sums[Pairs::kWarps];
    std::int32_t offsets[kMaxMoeExperts + 1];
  };

  // expert, row: of the thread's pairs, -1 for none. Fills shared.offsets; all threads call it, and it ends with
  // everything visible to all.
  __device__ static void run(const std::int32_t (&expert)[kItems], std::uint32_t num_experts, Shared& shared,
                             std::int32_t (&row)[kItems]) {
    constexpr std::uint32_t kMaxPerThread = (kMaxMoeExperts + kThreads - 1) / kThreads;
    std::uint32_t rank[kItems];
    Pairs::rank_in_warp(expert, num_experts, shared.counts, rank);
    __syncthreads();
    const std::uint32_t per_thread = (num_experts + kThreads - 1) / kThreads;
    const std::uint32_t first = threadIdx.x * per_thread;
    std::uint32_t sums[kMaxPerThread];
    std::uint32_t total = 0;
#pragma unroll
    for (std::uint32_t i = 0; i < kMaxPerThread; ++i) {
      const bool is_mine = i < per_thread && first + i < num_experts;
      sums[i] = is_mine ? Pairs::sum_warps(shared.counts, first + i) : 0;
      total += sums[i];
    }
    std::uint32_t offset = sum_of_earlier_threads<Pairs::kWarps>(total, shared.warp_sums);
#pragma unroll
    for (std::uint32_t i = 0; i < kMaxPerThread; ++i) {
      if (i >= per_thread || first + i >= num_experts) break;
      shared.offsets[first + i] = static_cast<std::int32_t>(offset);
      offset += sums[i];
      if (first + i + 1 == num_experts) shared.offsets[num_experts] = static_cast<std::int32_t>(offset);
    }
    __syncthreads();
#pragma unroll
    for (std::uint32_t i = 0; i < kItems; ++i) {
      const std::uint16_t* const earlier_warps = shared.counts[threadIdx.x / 32];
      row[i] = expert[i] < 0
                   ? -1
                   : shared.offsets[expert[i]] + static_cast<std::int32_t>(earlier_warps[expert[i]] + rank[i]);
    }
  }
};

}  // namespace nvfp4::kernels
