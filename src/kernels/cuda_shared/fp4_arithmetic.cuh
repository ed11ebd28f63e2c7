// The product of FP4 matrices by one warp, in integers and float32: what stands in for the instruction of SM120 where
// kernels for it are tested on other devices.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "formats/e2m1.h"
#include "formats/e4m3.h"

namespace nvfp4::kernels {

namespace fp4_arithmetic {

// Eight products of E2M1 numbers, four times their sum.
__device__ __forceinline__ int multiply_codes(std::uint32_t a, std::uint32_t b) {
  int sum = 0;
  for (std::uint32_t i = 0; i < 32; i += 4) {
    sum += decode_e2m1_doubled(static_cast<std::uint8_t>(a >> i & 15U)) *
           decode_e2m1_doubled(static_cast<std::uint8_t>(b >> i & 15U));
  }
  return sum;
}
__device__ __forceinline__ float scale_of(std::uint32_t scales, std::uint32_t block) {
  return decode_e4m3(static_cast<std::uint8_t>(scales >> 8 * block & 0x7FU));
}

// Registers as mma_m16n8k64_nvfp4() (ptx/matrices.cuh) has them. Blocks of 16 products are exact, their sum rounds
// block after block.
template <std::uint32_t kRowLanes, std::uint32_t kColumnLane>
__device__ __noinline__ void multiply(float* c, const std::uint32_t* a, const std::uint32_t* b, std::uint32_t scales_a,
                                      std::uint32_t scales_b) {
  constexpr std::uint32_t kAll = 0xFFFFFFFFU;
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t quad = lane / 4 * 4;
  for (std::uint32_t block = 0; block < 4; ++block) {
    int sums[4] = {0, 0, 0, 0};
    for (std::uint32_t t = block % 2 * 2; t < block % 2 * 2 + 2; ++t) {
      const std::uint32_t half = block / 2;
      const std::uint32_t low = __shfl_sync(kAll, half == 0 ? a[0] : a[2], static_cast<int>(quad + t));
      const std::uint32_t high = __shfl_sync(kAll, half == 0 ? a[1] : a[3], static_cast<int>(quad + t));
      for (std::uint32_t i = 0; i < 2; ++i) {
        const std::uint32_t codes =
            __shfl_sync(kAll, half == 0 ? b[0] : b[1], static_cast<int>(lane % 4 * 8 + i * 4 + t));
        sums[i] += multiply_codes(low, codes);
        sums[2 + i] += multiply_codes(high, codes);
      }
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t row = __shfl_sync(kAll, scales_a, static_cast<int>(quad + 2 * kRowLanes + i / 2));
      const std::uint32_t column =
          __shfl_sync(kAll, scales_b, static_cast<int>(lane % 4 * 8 + i % 2 * 4 + kColumnLane));
      c[i] = __fmaf_rn(static_cast<float>(sums[i]) * 0.25F * scale_of(row, block), scale_of(column, block), c[i]);
    }
  }
}

}  // namespace fp4_arithmetic

}  // namespace nvfp4::kernels
