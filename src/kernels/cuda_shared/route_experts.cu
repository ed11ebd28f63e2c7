#include <type_traits>

#include "kernels/cuda_shared/cluster_memory.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/route_experts.h"
#include "kernels/cuda_shared/route_experts_warp.cuh"
#include "kernels/cuda_shared/sort_by_expert_chunks.cuh"

namespace nvfp4::kernels {
namespace {

constexpr const char* kName = "router_topk_warp";
constexpr std::uint32_t kLeastSm = 80;    // redux.sync
constexpr std::uint32_t kMaxCluster = 8;  // blocks, on any device that has clusters
constexpr std::uint32_t kFewWarps = 8;
constexpr std::uint32_t kManyWarps = 16;

// The whole in one cluster: a warp for each token, kWarps a block. Tokens of a block that chose an expert are
// the bits of a mask; every block reads the masks of all.
template <std::uint32_t kValues, std::uint32_t kWarps>
__global__ void __launch_bounds__(kWarps * 32, 1)
    route_and_sort_in_cluster(RouterProblem problem, DeviceRouterArgs args, ExpertLookup lookup, SortedPairs out) {
  constexpr std::uint32_t kThreads = kWarps * 32;
  constexpr std::uint32_t kPerThread = (kMaxMoeExperts + kThreads - 1) / kThreads;
  __shared__ std::uint32_t masks[kMaxMoeExperts];
  __shared__ RouterScratch scratch[kWarps];
  __shared__ std::int32_t first_row[kMaxMoeExperts];
  __shared__ std::uint32_t warp_sums[kWarps];
  __shared__ std::uint32_t num_rows;
  let_next_kernel_start();
  for (std::uint32_t e = threadIdx.x; e < lookup.num_experts; e += kThreads) masks[e] = 0;
  __syncthreads();
  wait_for_earlier_kernels();

  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t token = blockIdx.x * kWarps + warp;
  const std::uint32_t pair = token * problem.top_k + lane;
  const bool has_slot = token < args.num_tokens && lane < problem.top_k;
  std::int32_t place = -1;
  if (token < args.num_tokens) {
    const RouterSlot slot = WarpRouter<kValues>(problem, args, token, scratch[threadIdx.x / 32]).route();
    if (has_slot) {
      args.expert_ids[pair] = slot.id;
      args.router_weights[pair] = slot.weight;
      place = expert_place(lookup, slot.id);
      if (place >= 0) atomicOr(&masks[place], 1U << warp);
    }
  }
  synchronize_cluster();

  const std::uint32_t per_thread = (lookup.num_experts + kThreads - 1) / kThreads;
  std::uint32_t totals[kPerThread];
  std::uint32_t before[kPerThread];
  std::uint32_t sum = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < kPerThread; ++i) {
    const std::uint32_t e = threadIdx.x * per_thread + i;
    totals[i] = before[i] = 0;
    if (i >= per_thread || e >= lookup.num_experts) continue;
    for (std::uint32_t block = 0; block < gridDim.x; ++block) {
      const std::uint32_t count = static_cast<std::uint32_t>(__popc(load_from_cluster(&masks[e], block)));
      totals[i] += count;
      if (block < blockIdx.x) before[i] += count;
    }
    sum += totals[i];
  }
  arrive_at_cluster();  // no block may end before all have read
  std::uint32_t offset = sum_of_earlier_threads<kWarps>(sum, warp_sums);
#pragma unroll
  for (std::uint32_t i = 0; i < kPerThread; ++i) {
    const std::uint32_t e = threadIdx.x * per_thread + i;
    if (i >= per_thread || e >= lookup.num_experts) continue;
    first_row[e] = static_cast<std::int32_t>(offset + before[i]);
    if (blockIdx.x == 0) out.offsets[e] = static_cast<std::int32_t>(offset);
    offset += totals[i];
    if (e + 1 == lookup.num_experts) {
      num_rows = offset;
      if (blockIdx.x == 0) out.offsets[lookup.num_experts] = static_cast<std::int32_t>(offset);
    }
  }
  __syncthreads();
  if (has_slot) {
    const std::int32_t row = place < 0 ? -1 : first_row[place] + __popc(masks[place] & ((1U << warp) - 1U));
    out.row_of_pair[pair] = row;
    if (row >= 0) out.pair_of_row[row] = static_cast<std::int32_t>(pair);
  }
  const std::uint32_t num_pairs = args.num_tokens * problem.top_k;
  const std::uint32_t first_unused = num_rows + blockIdx.x * kThreads + threadIdx.x;
  for (std::uint32_t r = first_unused; r < num_pairs; r += gridDim.x * kThreads) out.pair_of_row[r] = -1;
  wait_for_cluster();
}

// Tokens of one chunk, and how many of its pairs each expert has if chunk_counts is there.
template <std::uint32_t kValues>
constexpr std::uint32_t kRouteThreads = kValues <= 4   ? 1024
                                        : kValues <= 8 ? 512
                                                       : 256;

template <std::uint32_t kValues>
__global__ void __launch_bounds__(kRouteThreads<kValues>, 1)
    route_chunk(RouterProblem problem, DeviceRouterArgs args, ExpertLookup lookup, std::uint16_t* chunk_counts) {
  __shared__ std::uint32_t counts[kMaxMoeExperts];
  __shared__ RouterScratch scratch[kRouteThreads<kValues> / 32];
  let_next_kernel_start();
  zero_chunk_counts(lookup.num_experts, counts);
  wait_for_earlier_kernels();
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t first = blockIdx.x * tokens_per_chunk(args.num_tokens);
  const std::uint32_t end = min(first + tokens_per_chunk(args.num_tokens), args.num_tokens);
  for (std::uint32_t token = first + threadIdx.x / 32; token < end; token += kRouteThreads<kValues> / 32) {
    const RouterSlot slot = WarpRouter<kValues>(problem, args, token, scratch[threadIdx.x / 32]).route();
    if (lane >= problem.top_k) continue;
    args.expert_ids[token * problem.top_k + lane] = slot.id;
    args.router_weights[token * problem.top_k + lane] = slot.weight;
    const std::int32_t place = chunk_counts == nullptr ? -1 : expert_place(lookup, slot.id);
    if (place >= 0) atomicAdd(&counts[place], 1U);
  }
  if (chunk_counts == nullptr) return;
  __syncthreads();
  store_chunk_counts(lookup.num_experts, counts, chunk_counts);
}

// Calls function(std::integral_constant) with the number of experts that a lane must hold.
template <class Function>
Status with_values(std::uint32_t num_experts, Function function) {
  if (num_experts <= 128) return function(std::integral_constant<std::uint32_t, 4>());
  if (num_experts <= 256) return function(std::integral_constant<std::uint32_t, 8>());
  return function(std::integral_constant<std::uint32_t, kMaxMoeExperts / 32>());
}

Status route_chunks(const RouterProblem& problem, const DeviceRouterArgs& args, const ExpertLookup& lookup,
                    std::uint16_t* chunk_counts, DeviceStream stream) {
  return with_values(problem.num_experts, [&](auto values) {
    const LaunchShape shape{.blocks = num_chunks(args.num_tokens), .num_threads = kRouteThreads<values.value>};
    return launch(kName, route_chunk<values.value>, shape, stream, problem, args, lookup, chunk_counts);
  });
}

template <std::uint32_t kWarps>
Status route_in_cluster(const RouterProblem& problem, const DeviceRouterArgs& args, const ExpertLookup& lookup,
                        const SortedPairs& out, DeviceStream stream) {
  std::uint32_t num_blocks = 1;
  while (num_blocks * kWarps < args.num_tokens) num_blocks *= 2;
  const LaunchShape shape{.blocks = num_blocks, .num_threads = kWarps * 32, .cluster = num_blocks};
  return with_values(problem.num_experts, [&](auto values) {
    return launch(kName, route_and_sort_in_cluster<values.value, kWarps>, shape, stream, problem, args, lookup, out);
  });
}

std::string refuse(const RouterProblem& problem, const DeviceCaps& caps) {
  if (caps.sm < kLeastSm) return "the device is older than sm_80";
  if (problem.num_groups > kMaxRouterGroups) return "more than 32 groups of experts";
  return router_limits_refusal(problem);
}

Status run(const RouterProblem& problem, const DeviceRouterArgs& args, DeviceStream stream) {
  if (args.num_tokens == 0) return {};
  return route_chunks(problem, args, {}, nullptr, stream);
}

}  // namespace

const DeviceRouterKernel& router_topk_warp() {
  static constexpr DeviceRouterKernel kKernel{kName, refuse, run};
  return kKernel;
}

Status route_and_sort(const RouterProblem& problem, const DeviceRouterArgs& args, const ExpertLookup& lookup,
                      const SortedPairs& out, std::byte* workspace, DeviceStream stream) {
  const std::uint32_t max_cluster = has_dependent_launches() ? kMaxCluster : 1;
  if (args.num_tokens <= kFewWarps * max_cluster) {
    return route_in_cluster<kFewWarps>(problem, args, lookup, out, stream);
  }
  if (args.num_tokens <= kManyWarps * max_cluster) {
    return route_in_cluster<kManyWarps>(problem, args, lookup, out, stream);
  }
  NVFP4_RETURN_IF_ERROR(route_chunks(problem, args, lookup, reinterpret_cast<std::uint16_t*>(workspace), stream));
  return place_counted_pairs({args.num_tokens, problem.top_k, lookup, args.expert_ids, out}, workspace, stream);
}

}  // namespace nvfp4::kernels
