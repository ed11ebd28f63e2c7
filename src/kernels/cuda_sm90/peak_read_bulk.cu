// One thread of each multiprocessor keeps twelve bulk copies of 16 KB under way into shared memory, which nobody reads.
#include <cuda_runtime.h>

#include "device/runtime.h"
#include "kernels/cuda_sm90/peak_loops.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kThreads = 32;
constexpr std::uint32_t kStages = 12;
constexpr std::uint32_t kStageBytes = DeviceReadLoop::kStepBytes;
constexpr std::uint32_t kSharedBytes = kStages * kStageBytes;

__device__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ void init_barrier(std::uint64_t* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}
__device__ void start_copy(std::byte* to, const std::byte* from, std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(kStageBytes)
               : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(kStageBytes), "r"(shared_address(barrier))
               : "memory");
}
__device__ void wait(std::uint64_t* barrier, std::uint32_t phase) {
  std::uint32_t is_done = 0;
  while (is_done == 0) {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
                 : "=r"(is_done)
                 : "r"(shared_address(barrier)), "r"(phase)
                 : "memory");
  }
}

// Block b reads pieces b, b + grid, ... again and again.
__global__ __launch_bounds__(kThreads) void read_kernel(const std::byte* memory, std::uint64_t num_pieces,
                                                        std::uint32_t num_passes) {
  extern __shared__ __align__(128) std::byte stages[];
  __shared__ std::uint64_t barriers[kStages];
  if (threadIdx.x != 0 || blockIdx.x >= num_pieces) return;
  for (std::uint64_t& barrier : barriers) init_barrier(&barrier);
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  const std::uint64_t own_pieces = (num_pieces - blockIdx.x + gridDim.x - 1) / gridDim.x;
  const std::uint64_t num_copies = own_pieces * num_passes;
  std::uint64_t piece = 0;  // of the own ones, the next to copy
  const auto start = [&](std::uint32_t stage) {
    start_copy(stages + stage * kStageBytes, memory + (blockIdx.x + piece * gridDim.x) * kStageBytes, barriers + stage);
    piece = piece + 1 == own_pieces ? 0 : piece + 1;
  };
  for (std::uint32_t stage = 0; stage < kStages && stage < num_copies; ++stage) start(stage);
  std::uint32_t stage = 0;
  std::uint32_t phase = 0;
  for (std::uint64_t i = 0; i < num_copies; ++i) {
    wait(barriers + stage, phase);
    if (i + kStages < num_copies) start(stage);
    stage = stage + 1 == kStages ? 0 : stage + 1;
    phase ^= stage == 0 ? 1U : 0U;
  }
}

std::string refusal(const DeviceCaps& caps) { return caps.sm == 90 ? "" : "only for compute capability 9.0"; }

Status run(const DeviceCaps& caps, const std::byte* memory, std::size_t num_bytes, std::uint32_t num_passes,
           std::byte* /*sink*/, DeviceStream stream) {
  static_cast<void>(cudaFuncSetAttribute(read_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  read_kernel<<<caps.num_sms, kThreads, kSharedBytes, stream>>>(memory, num_bytes / kStageBytes, num_passes);
  return runtime::last_launch("read memory by bulk copies");
}

constexpr DeviceReadLoop kLoop{"read_by_bulk_copies", refusal, run};

}  // namespace

const DeviceReadLoop& read_by_bulk_copies() { return kLoop; }

}  // namespace nvfp4::kernels::cuda_sm90
