#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/sort_by_expert.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"
#include "kernels/cuda_shared/sort_by_expert_chunks.cuh"

namespace nvfp4::kernels {
namespace {

constexpr const char* kName = "sort by expert";

template <std::uint32_t kThreads, std::uint32_t kItems>
__global__ void __launch_bounds__(kThreads, 1) sort_in_one_block(SortByExpert sort) {
  using Sort = BlockSort<kThreads, kItems>;
  static_assert(sizeof(typename Sort::Counts) >= Sort::kPairs * sizeof(std::int32_t), "pair_of_row is staged there");
  __shared__ typename Sort::Shared shared;
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t num_pairs = sort.num_tokens * sort.top_k;
  std::int32_t expert[kItems];
#pragma unroll
  for (std::uint32_t i = 0; i < kItems; ++i) {
    const std::uint32_t pair = Sort::pair_idx(i);
    expert[i] = pair < num_pairs ? expert_place(sort.lookup, sort.expert_ids[pair]) : -1;
  }
  std::int32_t row[kItems];
  Sort::run(expert, sort.lookup.num_experts, shared, row);
  for (std::uint32_t e = threadIdx.x; e <= sort.lookup.num_experts; e += kThreads) {
    sort.out.offsets[e] = shared.offsets[e];
  }
  __syncthreads();
  auto* const pair_of_row = reinterpret_cast<std::int32_t*>(&shared.counts);
#pragma unroll
  for (std::uint32_t i = 0; i < kItems; ++i) {
    const std::uint32_t pair = Sort::pair_idx(i);
    if (row[i] >= 0) pair_of_row[row[i]] = static_cast<std::int32_t>(pair);
    if (pair < num_pairs) sort.out.row_of_pair[pair] = row[i];
  }
  __syncthreads();
  const std::uint32_t num_rows = static_cast<std::uint32_t>(shared.offsets[sort.lookup.num_experts]);
  for (std::uint32_t r = threadIdx.x; r < num_pairs; r += kThreads) {
    sort.out.pair_of_row[r] = r < num_rows ? pair_of_row[r] : -1;
  }
}

// Pairs of each expert in a chunk. Integer additions: their order does not matter.
__global__ void __launch_bounds__(kChunkThreads, 1) count_chunk(SortByExpert sort, std::uint16_t* chunk_counts) {
  __shared__ std::uint32_t counts[kMaxMoeExperts];
  let_next_kernel_start();
  wait_for_earlier_kernels();
  zero_chunk_counts(sort.lookup.num_experts, counts);
  const Chunk chunk = chunk_of(sort.num_tokens, sort.top_k, blockIdx.x);
  for (std::uint32_t i = threadIdx.x; i < chunk.num_pairs; i += kChunkThreads) {
    const std::int32_t expert = expert_place(sort.lookup, sort.expert_ids[chunk.first_pair + i]);
    if (expert >= 0) atomicAdd(&counts[expert], 1U);
  }
  __syncthreads();
  store_chunk_counts(sort.lookup.num_experts, counts, chunk_counts);
}

struct ChunkShared {
  using Pairs = BlockPairs<kChunkThreads, kChunkItems>;
  alignas(16) Pairs::Counts counts;
  std::uint32_t totals[kMaxMoeExperts];  // pairs of all chunks
  std::uint32_t first[kMaxMoeExperts];   // pairs of the chunks before; then, the row of this chunk's first pair
  std::uint32_t warp_sums[Pairs::kWarps];
  std::uint32_t num_rows;
};

// Sums of all chunks' counts, and of the chunks' before this one.
__device__ void sum_chunks(const SortByExpert& sort, const std::uint16_t* chunk_counts, ChunkShared& shared) {
  for (std::uint32_t e = threadIdx.x; e < kMaxMoeExperts; e += kChunkThreads) shared.totals[e] = shared.first[e] = 0;
  __syncthreads();
  const auto* const words = reinterpret_cast<const std::uint32_t*>(chunk_counts);
  const std::uint32_t num_words = chunk_stride(sort.lookup.num_experts) / 2;
  const std::uint32_t word_idx = threadIdx.x % num_words;
  const std::uint32_t num_groups = kChunkThreads / num_words;
  std::uint32_t total[2] = {};
  std::uint32_t before[2] = {};
  const std::uint32_t first_chunk = threadIdx.x / num_words;
  const std::uint32_t end_chunk = first_chunk < num_groups ? gridDim.x : 0;
#pragma unroll 8
  for (std::uint32_t chunk_idx = first_chunk; chunk_idx < end_chunk; chunk_idx += num_groups) {
    const std::uint32_t word = words[chunk_idx * num_words + word_idx];
    const std::uint32_t is_before = chunk_idx < blockIdx.x ? 1 : 0;
    total[0] += word & 0xFFFFU;
    total[1] += word >> 16;
    before[0] += (word & 0xFFFFU) * is_before;
    before[1] += (word >> 16) * is_before;
  }
#pragma unroll
  for (std::uint32_t half = 0; half < 2; ++half) {
    if (total[half] != 0) atomicAdd(&shared.totals[2 * word_idx + half], total[half]);
    if (before[half] != 0) atomicAdd(&shared.first[2 * word_idx + half], before[half]);
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kChunkThreads, 1) place_chunk(SortByExpert sort, const std::uint16_t* chunk_counts) {
  using Pairs = ChunkShared::Pairs;
  __shared__ ChunkShared shared;
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const Chunk chunk = chunk_of(sort.num_tokens, sort.top_k, blockIdx.x);
  const std::uint32_t num_experts = sort.lookup.num_experts;
  std::int32_t expert[kChunkItems];
#pragma unroll
  for (std::uint32_t i = 0; i < kChunkItems; ++i) {
    const std::uint32_t pair = Pairs::pair_idx(i);
    expert[i] = pair < chunk.num_pairs ? expert_place(sort.lookup, sort.expert_ids[chunk.first_pair + pair]) : -1;
  }
  std::uint32_t rank[kChunkItems];
  Pairs::rank_in_warp(expert, num_experts, shared.counts, rank);
  sum_chunks(sort, chunk_counts, shared);
  const std::uint32_t e = threadIdx.x;
  const std::uint32_t total = e < num_experts ? shared.totals[e] : 0;
  const std::uint32_t offset = sum_of_earlier_threads<Pairs::kWarps>(total, shared.warp_sums);
  if (e < num_experts) {
    Pairs::sum_warps(shared.counts, e);
    shared.first[e] += offset;
    if (blockIdx.x == 0) sort.out.offsets[e] = static_cast<std::int32_t>(offset);
    if (e + 1 == num_experts) {
      shared.num_rows = offset + total;
      if (blockIdx.x == 0) sort.out.offsets[num_experts] = static_cast<std::int32_t>(offset + total);
    }
  }
  __syncthreads();
#pragma unroll
  for (std::uint32_t i = 0; i < kChunkItems; ++i) {
    const std::uint32_t pair = Pairs::pair_idx(i);
    if (pair >= chunk.num_pairs) continue;
    std::int32_t row = -1;
    if (expert[i] >= 0) {
      row = static_cast<std::int32_t>(shared.first[expert[i]] + shared.counts[threadIdx.x / 32][expert[i]] + rank[i]);
      sort.out.pair_of_row[row] = static_cast<std::int32_t>(chunk.first_pair + pair);
    }
    sort.out.row_of_pair[chunk.first_pair + pair] = row;
  }
  const std::uint32_t num_pairs = sort.num_tokens * sort.top_k;
  const std::uint32_t first_unused = shared.num_rows + blockIdx.x * kChunkThreads + threadIdx.x;
  for (std::uint32_t r = first_unused; r < num_pairs; r += gridDim.x * kChunkThreads) sort.out.pair_of_row[r] = -1;
}

template <std::uint32_t kThreads, std::uint32_t kItems>
Status sort_small(const SortByExpert& sort, DeviceStream stream) {
  const LaunchShape shape{.blocks = 1, .num_threads = kThreads};
  return launch(kName, sort_in_one_block<kThreads, kItems>, shape, stream, sort);
}

}  // namespace

Status place_counted_pairs(const SortByExpert& sort, std::byte* workspace, DeviceStream stream) {
  const auto* const chunk_counts = reinterpret_cast<const std::uint16_t*>(workspace);
  const LaunchShape shape{.blocks = num_chunks(sort.num_tokens), .num_threads = kChunkThreads};
  return launch(kName, place_chunk, shape, stream, sort, chunk_counts);
}

Status sort_by_expert(const SortByExpert& sort, std::byte* workspace, DeviceStream stream) {
  const std::uint32_t num_pairs = sort.num_tokens * sort.top_k;
  if (num_pairs <= 128) return sort_small<128, 1>(sort, stream);
  if (num_pairs <= 512) return sort_small<512, 1>(sort, stream);
  if (num_pairs <= 1024) return sort_small<1024, 1>(sort, stream);
  if (num_pairs <= 2048) return sort_small<1024, 2>(sort, stream);
  auto* const chunk_counts = reinterpret_cast<std::uint16_t*>(workspace);
  const LaunchShape shape{.blocks = num_chunks(sort.num_tokens), .num_threads = kChunkThreads};
  NVFP4_RETURN_IF_ERROR(launch(kName, count_chunk, shape, stream, sort, chunk_counts));
  return place_counted_pairs(sort, workspace, stream);
}

}  // namespace nvfp4::kernels
