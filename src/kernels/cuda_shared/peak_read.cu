#include <cuda_runtime.h>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/peak_read.h"
#include "kernels/cuda_shared/ptx/words.cuh"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kBlocksPerSm = 8;
constexpr std::uint32_t kLoads = 8;
constexpr std::uint32_t kNever = 0x5A17C0DE;

__device__ std::uint32_t folded(const uint4& v) { return v.x ^ v.y ^ v.z ^ v.w; }

__global__ __launch_bounds__(kThreads) void read_kernel(const uint4* memory, std::uint64_t num_vectors,
                                                        std::uint32_t num_passes, std::uint32_t* sink) {
  const std::uint64_t stride = std::uint64_t{gridDim.x} * kThreads;
  const std::uint64_t first = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  std::uint32_t sum = 0;
  for (std::uint32_t pass = 0; pass < num_passes; ++pass) {
    std::uint64_t i = first;
    for (; i + (kLoads - 1) * stride < num_vectors; i += kLoads * stride) {
      uint4 loaded[kLoads];
#pragma unroll
      for (std::uint32_t j = 0; j < kLoads; ++j) loaded[j] = load_past_l1(memory + i + j * stride);
#pragma unroll
      for (std::uint32_t j = 0; j < kLoads; ++j) sum ^= folded(loaded[j]);
    }
    for (; i < num_vectors; i += stride) sum ^= folded(load_past_l1(memory + i));
  }
  if (sum == kNever) *sink = sum;
}

std::string refusal(const DeviceCaps& /*caps*/) { return {}; }

Status run(const DeviceCaps& caps, const std::byte* memory, std::size_t num_bytes, std::uint32_t num_passes,
           std::byte* sink, DeviceStream stream) {
  return launch_in_order("read memory", read_kernel, {.blocks = caps.num_sms * kBlocksPerSm, .num_threads = kThreads},
                         stream, reinterpret_cast<const uint4*>(memory), std::uint64_t{num_bytes / sizeof(uint4)},
                         num_passes, reinterpret_cast<std::uint32_t*>(sink));
}

constexpr DeviceReadLoop kLoop{"read_by_threads", refusal, run};

}  // namespace

const DeviceReadLoop& read_by_threads() { return kLoop; }

}  // namespace nvfp4::kernels
