#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/shared_carveout.h"
#include "kernels/cuda_sm90/moe_decode_chunks.cuh"
#include "kernels/cuda_sm90/moe_decode_pairs.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    list_pairs_kernel(const __grid_constant__ DecodePairs pairs, std::int32_t* pair_of_row) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const std::uint32_t pair = blockIdx.x * kThreads + threadIdx.x;
  if (pair >= pairs.num_pairs) return;
  pair_of_row[pair] = expert_of(pairs, pair) == kNoExpert ? -1 : static_cast<std::int32_t>(pair);
}

}  // namespace

Status let_list_pairs_overlap() { return take_all_as_shared_memory("list pairs", list_pairs_kernel); }

Status list_pairs(const DecodePairs& pairs, std::int32_t* pair_of_row, DeviceStream stream) {
  const LaunchShape shape{.blocks = (pairs.num_pairs + kThreads - 1) / kThreads, .num_threads = kThreads};
  return launch("list pairs", list_pairs_kernel, shape, stream, pairs, pair_of_row);
}

}  // namespace nvfp4::kernels::cuda_sm90
