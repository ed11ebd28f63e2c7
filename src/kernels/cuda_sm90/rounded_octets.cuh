// Activations rounded to NVFP4 where they are in shared memory, under a static scale. A block with a NaN or an infinity
// becomes NaN: so do all sums that the row goes into, whatever the rest of it is.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/round_octets.cuh"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kNanBf16 = 0x7FC0U;

// By a warp: BF16 numbers, 8 at a time, those that a lane copied itself (i, i + 32, ...). num is even.
__device__ __forceinline__ void round_octets(std::uint8_t* octets, std::uint32_t num, const RowScale& row) {
#pragma unroll 1
  for (std::uint32_t first = 0; first < num; first += 32) {
    const std::uint32_t i = first + threadIdx.x % 32;
    auto* const place = reinterpret_cast<uint4*>(octets + i * 16);
    OctetWords octet;
    if (i < num) octet.load(reinterpret_cast<const Bf16Bits*>(place));
    const std::uint32_t mine = octet.largest();
    const std::uint32_t largest = max(mine, __shfl_xor_sync(kAllLanes, mine, 1));
    std::uint32_t out[kOctet / 2];
    octet.round(BlockScale::from_largest(row, __uint_as_float(largest)), out);
#pragma unroll
    for (std::uint32_t& word : out) word = largest < kFloatInfinityBits ? word : kNanBf16 << 16U | kNanBf16;
    if (i < num) *place = {out[0], out[1], out[2], out[3]};
  }
}

// A number of each lane; the warp has one block of 16, or one in each half where kHalves. Lanes that have none give 0.
// Answers BF16 bits.
template <bool kHalves>
__device__ __forceinline__ Bf16Bits round_in_warp(float value, const RowScale& row) {
  const std::uint32_t mine = __float_as_uint(value) & kFloatMagnitudeMask;
  std::uint32_t largest = 0;
  if constexpr (kHalves) {
    const bool is_low = threadIdx.x % 32 < 16;
    const std::uint32_t low = __reduce_max_sync(kAllLanes, is_low ? mine : 0U);
    const std::uint32_t high = __reduce_max_sync(kAllLanes, is_low ? 0U : mine);
    largest = is_low ? low : high;
  } else {
    largest = __reduce_max_sync(kAllLanes, mine);
  }
  if (largest >= kFloatInfinityBits) return kNanBf16;
  return static_cast<Bf16Bits>(float_bits(BlockScale::from_largest(row, __uint_as_float(largest)).round(value)) >> 16U);
}

}  // namespace nvfp4::kernels::cuda_sm90
