// One thread of each multiprocessor keeps twelve bulk copies of 16 KB under way into shared memory, which nobody reads.
#include <cuda_runtime.h>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm90/peak_loops.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kThreads = 32;
constexpr std::uint32_t kStages = 12;
constexpr std::uint32_t kStageBytes = DeviceReadLoop::kStepBytes;
constexpr std::uint32_t kSharedBytes = kStages * kStageBytes;

// Block b reads pieces b, b + grid, ... again and again.
__global__ __launch_bounds__(kThreads) void read_kernel(const std::byte* memory, std::uint64_t num_pieces,
                                                        std::uint32_t num_passes) {
  __shared__ std::uint64_t barriers[kStages];
  const std::uint32_t stages = shared_address(dynamic_shared());
  const std::uint32_t first_barrier = shared_address(barriers);
  const auto barrier_of = [&](std::uint32_t stage) { return first_barrier + stage * 8; };
  if (threadIdx.x != 0 || blockIdx.x >= num_pieces) return;
  for (std::uint32_t stage = 0; stage < kStages; ++stage) init_barrier(barrier_of(stage), 1);
  publish_barriers();
  const std::uint64_t own_pieces = (num_pieces - blockIdx.x + gridDim.x - 1) / gridDim.x;
  const std::uint64_t num_copies = own_pieces * num_passes;
  std::uint64_t piece = 0;  // of the own ones, the next to copy
  const auto start = [&](std::uint32_t stage) {
    arrive_expecting(barrier_of(stage), kStageBytes);
    copy_bulk(stages + stage * kStageBytes, memory + (blockIdx.x + piece * gridDim.x) * kStageBytes, kStageBytes,
              barrier_of(stage));
    piece = piece + 1 == own_pieces ? 0 : piece + 1;
  };
  for (std::uint32_t stage = 0; stage < kStages && stage < num_copies; ++stage) start(stage);
  std::uint32_t stage = 0;
  std::uint32_t phase = 0;
  for (std::uint64_t i = 0; i < num_copies; ++i) {
    wait_barrier(barrier_of(stage), phase);
    if (i + kStages < num_copies) start(stage);
    stage = stage + 1 == kStages ? 0 : stage + 1;
    phase ^= stage == 0 ? 1U : 0U;
  }
}

std::string refusal(const DeviceCaps& caps) { return caps.sm == 90 ? "" : "only for compute capability 9.0"; }

Status run(const DeviceCaps& caps, const std::byte* memory, std::size_t num_bytes, std::uint32_t num_passes,
           std::byte* /*sink*/, DeviceStream stream) {
  static_cast<void>(cudaFuncSetAttribute(read_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  const LaunchShape shape{.blocks = caps.num_sms, .num_threads = kThreads, .shared_bytes = kSharedBytes};
  return launch_in_order("read memory by bulk copies", read_kernel, shape, stream, memory,
                         std::uint64_t{num_bytes / kStageBytes}, num_passes);
}

constexpr DeviceReadLoop kLoop{"read_by_bulk_copies", refusal, run};

}  // namespace

const DeviceReadLoop& read_by_bulk_copies() { return kLoop; }

}  // namespace nvfp4::kernels::cuda_sm90
