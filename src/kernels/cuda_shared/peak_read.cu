#include <cuda_runtime.h>

#include "device/runtime.h"
#include "kernels/cuda_shared/peak_read.h"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kBlocksPerSm = 8;
constexpr std::uint32_t kLoads = 8;
constexpr std::uint32_t kNever = 0x5A17C0DE;

// Past the L1 cache; volatile, so that a second pass reads again.
__device__ uint4 load(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  return v;
}
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
      for (std::uint32_t j = 0; j < kLoads; ++j) loaded[j] = load(memory + i + j * stride);
#pragma unroll
      for (std::uint32_t j = 0; j < kLoads; ++j) sum ^= folded(loaded[j]);
    }
    for (; i < num_vectors; i += stride) sum ^= folded(load(memory + i));
  }
  if (sum == kNever) *sink = sum;
}

std::string refusal(const DeviceCaps& /*caps*/) { return {}; }

Status run(const DeviceCaps& caps, const std::byte* memory, std::size_t num_bytes, std::uint32_t num_passes,
           std::byte* sink, DeviceStream stream) {
  read_kernel<<<caps.num_sms * kBlocksPerSm, kThreads, 0, stream>>>(reinterpret_cast<const uint4*>(memory),
                                                                    num_bytes / sizeof(uint4), num_passes,
                                                                    reinterpret_cast<std::uint32_t*>(sink));
  return runtime::last_launch("read memory");
}

constexpr DeviceReadLoop kLoop{"read_by_threads", refusal, run};

}  // namespace

const DeviceReadLoop& read_by_threads() { return kLoop; }

}  // namespace nvfp4::kernels
