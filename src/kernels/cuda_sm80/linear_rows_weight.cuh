// Weights that lie in rows, as A fragments of mma m16n8k16 in BF16, exactly.
#pragma once

#include <cstdint>

#include "kernels/cuda_sm80/bf16_pairs.cuh"

namespace nvfp4::kernels::cuda_sm80 {

// Which of rows g and g + 8 of a lane hold a NaN in E4M3. A row with one gives NaN for every token.
class NanRows {
 public:
  // 4 codes of each row. Adding 1 to a code of seven ones changes its sign; what that carries into the next code
  // matters no more.
  __device__ __forceinline__ void see(std::uint32_t codes_g, std::uint32_t codes_g8) {
    constexpr std::uint32_t kOnes = 0x01010101U;
    changed_g_ |= codes_g ^ (codes_g + kOnes);
    changed_g8_ |= codes_g8 ^ (codes_g8 + kOnes);
  }
  // Once everything was seen; all lanes of a warp.
  __device__ __forceinline__ void gather() {
    changed_g_ = of_quad(changed_g_);
    changed_g8_ = of_quad(changed_g8_);
  }
  __device__ __forceinline__ void apply(float (&sums)[4]) const {
    const float nan = __uint_as_float(0x7FC00000U);
    if (changed_g_ != 0) sums[0] = sums[1] = nan;
    if (changed_g8_ != 0) sums[2] = sums[3] = nan;
  }

 private:
  __device__ __forceinline__ static std::uint32_t of_quad(std::uint32_t changed) {
    changed &= 0x80808080U;
    changed |= __shfl_xor_sync(0xFFFFFFFFU, changed, 1);
    return changed | __shfl_xor_sync(0xFFFFFFFFU, changed, 2);
  }

  std::uint32_t changed_g_ = 0;
  std::uint32_t changed_g8_ = 0;
};
// Of weights whose products are NaN by themselves.
struct NoNanRows {
  __device__ __forceinline__ void gather() const {}
  __device__ __forceinline__ void apply(float (& /*sums*/)[4]) const {}
};

// The columns of a product may stand in any order that x has too. Of a step of 16 columns, lane t has columns 4t to
// 4t + 3: one word of codes for each of rows g and g + 8. Sign and magnitude of a code moved into a BF16 number are
// 2^-120 times the code's number, subnormals included.
struct Fp8Weight {
  static constexpr std::uint32_t kBytes = 1;  // of a number
  static constexpr std::uint32_t kWords = 2;  // of a step, rows g and g + 8
  using Nans = NanRows;

  // Columns 4t, 4t + 1 first, then 4t + 2, 4t + 3.
  __device__ __forceinline__ static void decode(const std::uint32_t* codes, Nans& nans, std::uint32_t (&a)[4]) {
    constexpr std::uint32_t kLowBytes = 0x1404U;  // 0, byte 0, 0, byte 1
    constexpr std::uint32_t kHighBytes = 0x3424U;
    nans.see(codes[0], codes[1]);
    a[0] = decode_high_bytes(__byte_perm(codes[0], 0, kLowBytes));
    a[1] = decode_high_bytes(__byte_perm(codes[1], 0, kLowBytes));
    a[2] = decode_high_bytes(__byte_perm(codes[0], 0, kHighBytes));
    a[3] = decode_high_bytes(__byte_perm(codes[1], 0, kHighBytes));
  }
  // With less work: columns 4t, 4t + 2 first, then 4t + 1, 4t + 3; and x in that order.
  __device__ __forceinline__ static void decode_spread(const std::uint32_t* codes, Nans& nans, std::uint32_t (&a)[4]) {
    nans.see(codes[0], codes[1]);
    a[0] = decode_low_bytes(codes[0]);
    a[1] = decode_low_bytes(codes[1]);
    a[2] = decode_high_bytes(codes[0]);
    a[3] = decode_high_bytes(codes[1]);
  }
  __device__ __forceinline__ static void spread(std::uint32_t& x0, std::uint32_t& x1) {
    const std::uint32_t even = __byte_perm(x0, x1, 0x5410U);
    x1 = __byte_perm(x0, x1, 0x7632U);
    x0 = even;
  }

 private:
  static constexpr std::uint32_t kMagnitudes = 0x07F007F0U;
  static constexpr std::uint32_t kSigns = 0x80008000U;
  static constexpr std::uint32_t kUnits = 0x7B807B80U;  // 2^120

  // Of the codes in the high, or the low bytes of both halves; anything in the others.
  __device__ __forceinline__ static std::uint32_t decode_high_bytes(std::uint32_t codes) {
    return multiply_pairs(((codes >> 4U) & kMagnitudes) | (codes & kSigns), kUnits);
  }
  __device__ __forceinline__ static std::uint32_t decode_low_bytes(std::uint32_t codes) {
    return multiply_pairs(((codes << 4U) & kMagnitudes) | ((codes << 8U) & kSigns), kUnits);
  }
};

// Lane t has the columns of the fragment, or, where it copied them itself, columns 4t to 4t + 3.
struct Bf16Weight {
  static constexpr std::uint32_t kBytes = 2;
  static constexpr std::uint32_t kWords = 4;
  using Nans = NoNanRows;

  __device__ __forceinline__ static void decode(const std::uint32_t* words, Nans& /*nans*/, std::uint32_t (&a)[4]) {
    a[0] = words[0], a[1] = words[1], a[2] = words[2], a[3] = words[3];
  }
  __device__ __forceinline__ static void decode_spread(const std::uint32_t* words, Nans& nans, std::uint32_t (&a)[4]) {
    decode(words, nans, a);
  }
  __device__ __forceinline__ static void spread(std::uint32_t& /*x0*/, std::uint32_t& /*x1*/) {}
};

}  // namespace nvfp4::kernels::cuda_sm80
