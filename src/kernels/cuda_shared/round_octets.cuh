// Rows rounded to NVFP4 by short chains of instructions, for few rows: a thread has 8 numbers of a row, two neighbours
// a block of 16. The blocks that share a row each look at all of it, as a NaN or an infinity anywhere makes all of it
// NaN, and round a part. Under a static scale nothing but that waits for the others. Bound: latency.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kOctet = 8;

// 8 numbers as they are to be rounded.
struct OctetWords {  // BF16
  std::uint32_t words[kOctet / 2] = {};

  __device__ __forceinline__ void load(const Bf16Bits* from) {
    const uint4 four = *reinterpret_cast<const uint4*>(from);
    words[0] = four.x, words[1] = four.y, words[2] = four.z, words[3] = four.w;
  }
  // Float32 bits; above those of infinity for NaN.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    const std::uint32_t first = __vmaxu2(words[0] & 0x7FFF7FFFU, words[1] & 0x7FFF7FFFU);
    const std::uint32_t second = __vmaxu2(words[2] & 0x7FFF7FFFU, words[3] & 0x7FFF7FFFU);
    const std::uint32_t both = __vmaxu2(first, second);
    return max(both << 16U, both & 0xFFFF0000U);
  }
  __device__ __forceinline__ void round(const BlockScale& scale, std::uint32_t (&out)[kOctet / 2]) const {
    round_words(scale, words, out);
  }
};

struct OctetFloats {  // float32, their bits
  std::uint32_t bits[kOctet] = {};

  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (std::uint32_t i = 0; i < kOctet; i += 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(from + i);
      bits[i] = four.x, bits[i + 1] = four.y, bits[i + 2] = four.z, bits[i + 3] = four.w;
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    std::uint32_t of[kOctet];
#pragma unroll
    for (std::uint32_t i = 0; i < kOctet; ++i) of[i] = bits[i] & kFloatMagnitudeMask;
#pragma unroll
    for (std::uint32_t step = kOctet / 2; step > 0; step /= 2) {
#pragma unroll
      for (std::uint32_t i = 0; i < step; ++i) of[i] = max(of[i], of[i + step]);
    }
    return of[0];
  }
  __device__ __forceinline__ void round(const BlockScale& scale, std::uint32_t (&out)[kOctet / 2]) const {
    round_floats(scale, bits, out);
  }
};

// How rows are divided: blocks of so many threads, `parts` of them to a row.
struct OctetShape {
  std::uint32_t num_threads = 0;
  std::uint32_t parts = 0;

  // At most kMost threads.
  [[nodiscard]] static OctetShape of(std::uint32_t num_cols, std::uint32_t most) {
    const std::uint32_t num_octets = num_cols / kOctet;
    OctetShape shape;
    shape.parts = (num_octets + most - 1) / most;
    const std::uint32_t needed = (num_octets + shape.parts - 1) / shape.parts;
    shape.num_threads = (needed + 31) / 32 * 32;
    return shape;
  }
  // Of rows whose time is that of one.
  [[nodiscard]] static OctetShape of_few_rows(std::uint32_t num_cols) {
    return of(num_cols, num_cols <= 2048 ? 128 : num_cols <= 8192 ? 256 : 512);
  }
  [[nodiscard]] static OctetShape of_many_rows(std::uint32_t num_cols) { return of(num_cols, 1024); }

  [[nodiscard]] LaunchShape launch_shape(std::uint32_t num_rows) const {
    return {.blocks = dim3(num_rows, parts), .num_threads = num_threads};
  }
};

// Of the numbers of all threads of the block: put() by all of them, once, then get().
class LargestOfBlock {
 public:
  __device__ __forceinline__ explicit LargestOfBlock(std::uint32_t (&of_warps)[32]) : of_warps_(of_warps) {}
  __device__ __forceinline__ void put(std::uint32_t mine) const {
    const std::uint32_t of_warp = __reduce_max_sync(kAllLanes, mine);
    if (threadIdx.x % 32 == 0) of_warps_[threadIdx.x / 32] = of_warp;
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t get() const {
    __syncthreads();
    const std::uint32_t lane = threadIdx.x % 32;
    return __reduce_max_sync(kAllLanes, lane < blockDim.x / 32 ? of_warps_[lane] : 0U);
  }

 private:
  std::uint32_t (&of_warps_)[32];
};

// Rounds the block's part of a row; all threads call it. load(column) answers an octet. row: the row's scale where
// is_static, else its own. values: the row's; factor: where its factor belongs.
template <class Octet, class Load>
__device__ __forceinline__ void round_part_of_row(const Load& load, std::uint32_t num_cols, bool is_static,
                                                  RowScale row, Bf16Bits* values, float* factor) {
  constexpr std::uint32_t kNanPair = 0x7FC07FC0U;
  __shared__ std::uint32_t of_warps[32];
  const LargestOfBlock of_row(of_warps);
  const std::uint32_t col = (blockIdx.y * blockDim.x + threadIdx.x) * kOctet;
  Octet own;
  if (col < num_cols) load(col, own);
  std::uint32_t of_others = 0;
#pragma unroll 2
  for (std::uint32_t part = 1; part < gridDim.y; ++part) {
    const std::uint32_t place = blockIdx.y + part < gridDim.y ? blockIdx.y + part : blockIdx.y + part - gridDim.y;
    const std::uint32_t other_col = (place * blockDim.x + threadIdx.x) * kOctet;
    Octet other;
    if (other_col < num_cols) load(other_col, other);
    of_others = max(of_others, other.largest());
  }
  const std::uint32_t mine = own.largest();
  of_row.put(max(mine, of_others));
  std::uint32_t of_all = 0;
  if (!is_static) {
    of_all = of_row.get();
    row = RowScale::from_largest(__uint_as_float(of_all));
  }
  const std::uint32_t of_block = max(mine, __shfl_xor_sync(kAllLanes, mine, 1));
  std::uint32_t out[kOctet / 2];
  own.round(BlockScale::from_largest(row, __uint_as_float(of_block)), out);
  if (is_static) of_all = of_row.get();
  const bool is_finite = of_all < kFloatInfinityBits;
  if (blockIdx.y == 0 && threadIdx.x == 0) *factor = row.multiplier();
  if (col >= num_cols) return;
#pragma unroll
  for (std::uint32_t& word : out) word = is_finite ? word : kNanPair;
  *reinterpret_cast<uint4*>(values + col) = {out[0], out[1], out[2], out[3]};
}

}  // namespace nvfp4::kernels
