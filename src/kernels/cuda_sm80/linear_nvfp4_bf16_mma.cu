// y = W A(x) with NVFP4 weights, whatever the number of tokens. Activations that are not x itself are rounded by a
// kernel before, to numbers that are exact in BF16. Order of sums and bounds: fragment_products.cuh, fragment_tile.cuh;
// parts of K that several blocks have are added in ascending order.
#include <array>
#include <string>
#include <utility>

#include "kernels/cuda_sm80/allow_shared.h"
#include "kernels/cuda_sm80/fragment_choice.h"
#include "kernels/cuda_sm80/fragment_products.cuh"
#include "kernels/cuda_sm80/linear_nvfp4_bf16_mma.h"
#include "kernels/cuda_sm80/linear_rows_output.cuh"
#include "kernels/cuda_sm80/linear_rows_plan.h"
#include "kernels/cuda_sm80/offers.h"
#include "kernels/cuda_sm80/split_sums.cuh"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr const char* kName = "linear_nvfp4_bf16_mma";

struct LinearJob {
  RowsCall call;
  RowsGrid grid;
  std::uint32_t sixteen = 16;  // see decode_row_scales()

  struct Place {
    std::uint32_t first_group, num_groups, first_token;
    TileSteps steps;
  };
  template <std::uint32_t kShapeIdx>
  [[nodiscard]] __device__ __forceinline__ Place place_of(const TileSteps& steps) const {
    constexpr FragmentShape kShape = kFragmentShapes[kShapeIdx];
    const TilePlace tile(grid, steps.tile);
    const std::uint32_t first_group = tile.row_tile * kShape.tile_groups();
    const std::uint32_t all_groups = (call.output.num_features + 15) / 16;
    return {first_group, min(kShape.tile_groups(), all_groups - first_group), tile.token_tile * kShape.tokens(), steps};
  }
  [[nodiscard]] __device__ __forceinline__ FragmentMatrices matrices(const Place& place) const {
    return {call.weights + place.first_group * Fragment16x64::row_group_bytes(call.in_features),
            place.num_groups,
            call.x,
            call.in_features,
            call.output.num_tokens - place.first_token,
            sixteen};
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t row_of(const Place& place, std::uint32_t column) const {
    return place.first_token + column;
  }
  [[nodiscard]] __device__ __forceinline__ RowTerms terms(const Place& place, std::uint32_t group) const {
    return RowTerms(call.output, (place.first_group + group) * 16);
  }
  __device__ __forceinline__ void put(const Place& place, const RowTerms& terms, std::uint32_t group,
                                      std::uint32_t column, const float (&sums)[4]) const {
    put_product(call.output, terms, (place.first_group + group) * 16, place.first_token + column * 8, sums);
  }
};

template <std::uint32_t kShapeIdx>
__global__ void __launch_bounds__(kFragmentShapes[kShapeIdx].threads(), least_blocks(kShapeIdx))
    linear_fragments(const __grid_constant__ LinearJob job) {
  using Tile = FragmentTile<kShapeIdx>;
  constexpr FragmentShape kShape = Tile::kShape;
  static_assert(sizeof(LinearJob::Place) <= kShape.shared_bytes() - kShape.place_at());
  std::uint8_t* const shared = dynamic_shared();
  auto* const kept = reinterpret_cast<LinearJob::Place*>(shared + kShape.place_at());
  let_next_kernel_start();
  std::uint32_t step = BlockSteps(job.grid).first_of(blockIdx.x);
#pragma unroll 1
  while (true) {
    const LinearJob::Place place = job.place_of<kShapeIdx>(TileSteps(job.grid, step));
    if (threadIdx.x == 0) *kept = place;
    const FragmentMatrices matrices = job.matrices(place);
    Tile tile(matrices, shared);
    FragmentLoop<kShapeIdx>::run(
        matrices, tile, {place.steps.begin, place.steps.end}, shared, [] { wait_for_earlier_kernels(); },
        [&](std::uint32_t column) { return job.row_of(place, column); });
    __syncthreads();  // the ring is free
    bool has_all = true;
    if constexpr (!kShape.shares_k()) {
      using Splits = SplitSums<kShape.threads(), Tile::kGroups, Tile::kColumns>;
      auto* const word = reinterpret_cast<std::uint32_t*>(shared + kShape.arrivals_at());
      if (!kept->steps.are_all()) has_all = Splits::gather(job.grid, kept->steps, word, tile.sums);
    }
    if (has_all) put_sums(tile, job, *kept, shared);
    if constexpr (kShape.shares_k()) return;  // its blocks have one tile each
    step = kept->steps.behind(job.grid);
    if (step == BlockSteps(job.grid).first_of(blockIdx.x + 1)) return;
    __syncthreads();  // what is shared is free
  }
}

using Kernel = void (*)(LinearJob);
template <std::size_t... kIdx>
constexpr std::array<Kernel, sizeof...(kIdx)> all_kernels(std::index_sequence<kIdx...> /*indices*/) {
  return {linear_fragments<kIdx>...};
}
constexpr auto kKernels = all_kernels(std::make_index_sequence<kNumLinearShapes>());

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceLinearPlan plan = linear_nvfp4_bf16_mma_offer().outline(problem, caps, max_tokens);
  for (const Kernel kernel : kKernels) {
    NVFP4_RETURN_IF_ERROR(allow_shared(kName, kernel, static_cast<std::uint32_t>(caps.shared_bytes_per_block)));
  }
  return plan;
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
  if (args.num_tokens == 0) return {};
  const auto call = begin_rows(plan, weight, args, workspace, stream);
  NVFP4_RETURN_IF_ERROR(call);
  const TileChoice choice = choose_fragments(fragment_layer(plan), args.num_tokens);
  LinearJob job{*call, rows_grid(plan, choice, workspace)};
  for (float& scale : job.call.output.shards.scale2) scale *= kFragmentUnit;
  const FragmentShape& shape = kFragmentShapes[choice.kind_idx];
  const LaunchShape launched{.blocks = choice.num_blocks(),
                             .num_threads = shape.threads(),
                             .shared_bytes = fragment_shared_bytes(fragment_layer(plan), choice)};
  return launch(kName, kKernels[choice.kind_idx], launched, stream, job);
}

const DeviceLinearKernel kKernel = kernel_of<DeviceLinearKernel>(linear_nvfp4_bf16_mma_offer(), plan, run);

}  // namespace

const DeviceLinearKernel& linear_nvfp4_bf16_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm80
