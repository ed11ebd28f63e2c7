// The kernel of both products of experts, and its launch. Blocks take tiles of the experts' rows in the order of the
// experts, row tiles first; which tile that is every block finds by itself.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cuda_sm80/allow_shared.h"
#include "kernels/cuda_sm80/fragment_products.cuh"
#include "kernels/cuda_sm80/moe_fragments.h"

namespace nvfp4::kernels::cuda_sm80 {

struct ExpertPlace {
  std::uint32_t expert;
  std::uint32_t first_group, num_groups;  // of the expert's row groups
  std::uint32_t first_row, num_rows;      // sorted; num_rows 0: there is no such tile
};

// The rows of tile `token_tile` of all experts' tiles, by all threads of the block. `scratch`: 32 words that are free.
__device__ __forceinline__ void find_rows(const ExpertProduct& product, std::uint32_t token_tile, std::uint32_t tokens,
                                          std::uint32_t* scratch, ExpertPlace& place) {
  const std::uint32_t per_thread = (product.num_experts + blockDim.x - 1) / blockDim.x;
  const std::uint32_t first = min(threadIdx.x * per_thread, product.num_experts);
  const std::uint32_t end = min(first + per_thread, product.num_experts);
  const auto num_tiles = [&](std::uint32_t begin, std::uint32_t behind) {
    return (behind - begin + tokens - 1) / tokens;
  };
  std::uint32_t own = 0;
#pragma unroll 1
  for (std::uint32_t e = first; e < end; ++e) own += num_tiles(product.offsets[e], product.offsets[e + 1]);
  std::uint32_t before = own;
#pragma unroll
  for (std::uint32_t step = 1; step < 32; step *= 2) {
    const std::uint32_t others = __shfl_up_sync(0xFFFFFFFFU, before, step);
    if (threadIdx.x % 32 >= step) before += others;
  }
  if (threadIdx.x % 32 == 31) scratch[threadIdx.x / 32] = before;
  if (threadIdx.x == 0) place.num_rows = 0;
  __syncthreads();
  before -= own;
#pragma unroll 1
  for (std::uint32_t warp = 0; warp < threadIdx.x / 32; ++warp) before += scratch[warp];
  if (before <= token_tile && token_tile < before + own) {
    std::uint32_t expert = first;
    std::uint32_t in_expert = token_tile - before;
#pragma unroll 1
    while (in_expert >= num_tiles(product.offsets[expert], product.offsets[expert + 1])) {
      in_expert -= num_tiles(product.offsets[expert], product.offsets[expert + 1]);
      ++expert;
    }
    place.expert = expert;
    place.first_row = product.offsets[expert] + in_expert * tokens;
    place.num_rows = min(tokens, product.offsets[expert + 1] - place.first_row);
  }
}

// What this block multiplies, in shared memory.
template <std::uint32_t kShapeIdx>
__device__ __forceinline__ const ExpertPlace& find_place(const ExpertProduct& product, std::uint8_t* shared) {
  constexpr FragmentShape kShape = kFragmentShapes[kShapeIdx];
  ExpertPlace& place = *reinterpret_cast<ExpertPlace*>(shared + kShape.place_at());
  const std::uint32_t token_tile = blockIdx.x / product.row_tiles;
  if (product.offsets != nullptr) {
    find_rows(product, token_tile, kShape.tokens(), reinterpret_cast<std::uint32_t*>(shared), place);
  } else if (threadIdx.x == 0) {
    place.expert = 0;
    place.first_row = token_tile * kShape.tokens();
    place.num_rows = min(kShape.tokens(), product.num_rows - place.first_row);
  }
  if (threadIdx.x == 0) {
    place.first_group = blockIdx.x % product.row_tiles * kShape.tile_groups();
    place.num_groups = min(kShape.tile_groups(), product.row_groups - place.first_group);
  }
  __syncthreads();
  return place;
}

// Sorted row of a column; beyond the last one any that exists.
__device__ __forceinline__ std::uint32_t sorted_row(const ExpertPlace& place, std::uint32_t column) {
  return place.first_row + min(column, place.num_rows - 1);
}
__device__ __forceinline__ std::uint32_t row_of_x(const ExpertProduct& product, std::uint32_t sorted) {
  return product.pair_of_row == nullptr ? sorted
                                        : static_cast<std::uint32_t>(product.pair_of_row[sorted]) / product.top_k;
}
__device__ __forceinline__ float factor_of(const ExpertProduct& product, const ExpertPlace& place,
                                           std::uint32_t column) {
  const std::uint32_t sorted = sorted_row(place, column);
  float factor = 1.0F;
  if (product.row_factors != nullptr) factor = product.row_factors[row_of_x(product, sorted)];
  if (product.pair_factors != nullptr) factor *= product.pair_factors[product.pair_of_row[sorted]];
  return factor;
}
// Of columns 2t and 2t + 1 of a product.
__device__ __forceinline__ float2 factors_of(const ExpertProduct& product, const ExpertPlace& place,
                                             std::uint32_t column) {
  if (product.row_factors == nullptr && product.pair_factors == nullptr) return {1.0F, 1.0F};
  const std::uint32_t first = column * 8 + threadIdx.x % 4 * 2;
  return {factor_of(product, place, first), factor_of(product, place, first + 1)};
}

// Job: an ExpertProduct `product`, and what fragment_products.cuh wants.
template <std::uint32_t kShapeIdx, class Job>
__global__ void __launch_bounds__(kFragmentShapes[kShapeIdx].threads(), least_blocks(kShapeIdx))
    expert_fragments(const __grid_constant__ Job job) {
  std::uint8_t* const shared = dynamic_shared();
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const ExpertProduct& product = job.product();
  const ExpertPlace& place = find_place<kShapeIdx>(product, shared);
  if (place.num_rows == 0) return;
  const std::uint64_t group = std::uint64_t{place.expert} * product.row_groups + place.first_group;
  const FragmentMatrices matrices{product.weights + group * Fragment16x64::row_group_bytes(product.in_features),
                                  place.num_groups,
                                  product.x,
                                  product.in_features,
                                  place.num_rows,
                                  product.sixteen};
  FragmentTile<kShapeIdx> tile(matrices, shared);
  const auto num_tiles = static_cast<std::uint32_t>(Fragment16x64::num_tiles(product.in_features));
  const auto row_of = [&](std::uint32_t column) { return row_of_x(product, place.first_row + column); };
  FragmentLoop<kShapeIdx>::run(matrices, tile, {0, num_tiles}, shared, [] {}, row_of);
  __syncthreads();  // the ring is free
  put_sums(tile, job, place, shared);
}

template <class Job>
class ExpertLaunch {
 public:
  static Status allow(const char* name) {
    for (std::size_t i = 0; i < kKernels.size(); ++i) {
      NVFP4_RETURN_IF_ERROR(allow_shared(name, kKernels[i], kFragmentShapes[kFirstExpertShape + i].shared_bytes()));
    }
    return {};
  }
  static Status run(const char* name, std::uint32_t shape_idx, Job job, DeviceStream stream) {
    const FragmentShape& shape = kFragmentShapes[shape_idx];
    ExpertProduct& product = job.product();
    product.row_tiles = (product.row_groups + shape.tile_groups() - 1) / shape.tile_groups();
    // Experts with rows leave at most one tile each that is not full.
    const std::uint32_t num_used = product.offsets == nullptr ? 1 : std::min(product.num_experts, product.num_rows);
    const std::uint64_t most_tiles =
        (product.num_rows + std::uint64_t{num_used} * (shape.tokens() - 1)) / shape.tokens();
    const LaunchShape launched{.blocks = static_cast<std::uint32_t>(most_tiles * product.row_tiles),
                               .num_threads = shape.threads(),
                               .shared_bytes = shape.shared_bytes()};
    return launch(name, kKernels[shape_idx - kFirstExpertShape], launched, stream, job);
  }

 private:
  using Kernel = void (*)(Job);
  template <std::size_t... kIdx>
  static constexpr std::array<Kernel, sizeof...(kIdx)> all_kernels(std::index_sequence<kIdx...> /*indices*/) {
    return {expert_fragments<kFirstExpertShape + kIdx, Job>...};
  }
  static constexpr auto kKernels = all_kernels(std::make_index_sequence<kFragmentShapes.size() - kFirstExpertShape>());
};

}  // namespace nvfp4::kernels::cuda_sm80
