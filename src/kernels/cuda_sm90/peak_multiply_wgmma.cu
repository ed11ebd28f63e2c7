// Four warpgroups on each multiprocessor multiply without end: 64 x 16 numbers in registers by 16 x 64 in shared
// memory, random ones, since zeros take less power.
#include <cuda_runtime.h>

#include "device/runtime.h"
#include "kernels/cuda_sm90/peak_loops.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kWarpgroups = 4;
constexpr std::uint32_t kThreads = kWarpgroups * 128;
constexpr std::uint32_t kRows = 64;  // of A
constexpr std::uint32_t kCols = 64;  // of B
constexpr std::uint32_t kDepth = 16;
constexpr std::uint32_t kSlices = 4;  // of 16 in a row of 128 bytes of B
constexpr std::uint32_t kSweeps = 4;  // over the slices, in a round
constexpr std::uint32_t kBytesB = kCols * kSlices * kDepth * 2;
constexpr float kNever = 1.2345e30F;

__device__ std::uint32_t hash(std::uint32_t place) {
  std::uint32_t z = place * 0x9E3779B9U;
  z = (z ^ z >> 16U) * 0x85EBCA6BU;
  z = (z ^ z >> 13U) * 0xC2B2AE35U;
  return z ^ z >> 16U;
}

// BF16 bits of a number that is nearly normally distributed: the sum of four uniform ones.
__device__ std::uint32_t random_bf16(std::uint32_t place) {
  const std::uint32_t bits = hash(place);
  std::int32_t sum = -2 * 255;
  for (std::uint32_t i = 0; i < 4; ++i) sum += static_cast<std::int32_t>(bits >> i * 8 & 0xFFU);
  const float value = static_cast<float>(sum) + static_cast<float>(hash(~place)) * 0x1p-32F;
  return __float_as_uint(value * 0x1p-7F) >> 16U;
}
__device__ std::uint32_t random_pair(std::uint32_t place) {
  return random_bf16(2 * place) | random_bf16(2 * place + 1) << 16U;
}

// wgmma's description of B: rows of 128 bytes in the 128-byte swizzle, eight rows 1024 bytes apart.
__device__ std::uint64_t describe(std::uint32_t shared_address) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62U;
  constexpr std::uint64_t kEightRows = std::uint64_t{1024 >> 4} << 32U;
  constexpr std::uint64_t kUnused = std::uint64_t{1} << 16U;
  return kSwizzle128 | kEightRows | kUnused | (shared_address & 0x3FFFFU) >> 4U;
}

__device__ void multiply(float (&c)[32], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(
      "{\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, 1, 1, 1, 0;\n"
      "}\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]), "+f"(c[8]),
        "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), "+f"(c[15]), "+f"(c[16]),
        "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), "+f"(c[22]), "+f"(c[23]), "+f"(c[24]),
        "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), "+f"(c[29]), "+f"(c[30]), "+f"(c[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

__global__ __launch_bounds__(kThreads, 1) void multiply_kernel(std::uint32_t num_rounds, float* sink) {
  __shared__ __align__(1024) std::uint32_t b[kBytesB / 4];
  for (std::uint32_t i = threadIdx.x; i < kBytesB / 4; i += kThreads) b[i] = random_pair(i + 1);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  std::uint32_t a[kSlices][4];
  for (std::uint32_t s = 0; s < kSlices; ++s) {
    for (std::uint32_t i = 0; i < 4; ++i) a[s][i] = random_pair((threadIdx.x * kSlices + s) * 4 + i + kBytesB);
  }
  float c[32] = {};
  const std::uint64_t description = describe(static_cast<std::uint32_t>(__cvta_generic_to_shared(b)));
  for (std::uint32_t round = 0; round < num_rounds; ++round) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (std::uint32_t i = 0; i < kSweeps * kSlices; ++i) {
      multiply(c, a[i % kSlices], description + i % kSlices * (kDepth * 2 >> 4U));
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  }
  float sum = 0.0F;
  for (const float value : c) sum += value;
  if (sum == kNever) *sink = sum;
}

std::string refusal(const DeviceCaps& caps) { return caps.sm == 90 ? "" : "only for compute capability 9.0"; }

double operations_per_round(const DeviceCaps& caps) {
  return 2.0 * kRows * kCols * kDepth * kSlices * kSweeps * kWarpgroups * caps.num_sms;
}

Status run(const DeviceCaps& caps, std::uint32_t num_rounds, std::byte* sink, DeviceStream stream) {
  multiply_kernel<<<caps.num_sms, kThreads, 0, stream>>>(num_rounds, reinterpret_cast<float*>(sink));
  return runtime::last_launch("multiply BF16 numbers");
}

constexpr DeviceMultiplyLoop kLoop{"multiply_bf16_wgmma", Multiply::kBF16, refusal, operations_per_round, run};

}  // namespace

const DeviceMultiplyLoop& multiply_bf16_wgmma() { return kLoop; }

}  // namespace nvfp4::kernels::cuda_sm90
