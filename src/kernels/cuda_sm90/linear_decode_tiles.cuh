// The product of a warp: 16 rows of Fragment16x64 tiles in shared memory, times up to 8 kColumns rows of activations
// there.
//
//   sums[n][row, column] += sum_k weight[row, k] * rows[8 n + column][k] * 2^-8
//
// For 1024 weights about 80 operations, of which half are integer ones: decoding bounds it, at the speed of memory.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/fragment_codes.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_sm90/linear_decode_async.cuh"
#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kTileBytes = Fragment16x64::kBytes;
inline constexpr std::uint32_t kTileCodes = Fragment16x64::kCodesOffset;
inline constexpr std::uint32_t kTileColumnBytes = Fragment16x64::kCols * 2;  // of an activation row
static_assert(kTileBytes == 576 && kTileCodes == 64 && kTileColumnBytes == 128);

// Even and odd blocks apart, so that a product does not wait for the one before. Lanes hold what mma_m16n8k16() says.
template <std::uint32_t kColumns>
struct TileSums {
  float of[kColumns][2][4] = {};

  __device__ __forceinline__ float4 total(std::uint32_t n) const {
    return {of[n][0][0] + of[n][1][0], of[n][0][1] + of[n][1][1], of[n][0][2] + of[n][1][2], of[n][0][3] + of[n][1][3]};
  }
  __device__ __forceinline__ void pin_all() {
#pragma unroll
    for (auto& column : of) {
#pragma unroll
      for (auto& half : column) {
#pragma unroll
        for (float& value : half) pin(value);
      }
    }
  }
};

template <std::uint32_t kFirstBlock, std::uint32_t kColumns>
__device__ __forceinline__ void multiply_two_blocks(const std::uint32_t (&words)[4], const std::uint32_t (&scales_g)[2],
                                                    const std::uint32_t (&scales_g8)[2],
                                                    const std::uint32_t (&rows)[kColumns], std::uint32_t at,
                                                    TileSums<kColumns>& sums) {
  std::uint32_t b[kColumns][4];
#pragma unroll
  for (std::uint32_t n = 0; n < kColumns; ++n) load_matrices(b[n], rows[n] + at + kFirstBlock * 32);
  std::uint32_t even[4];
  std::uint32_t odd[4];
  decode_two_blocks<kFirstBlock == 2>(words[kFirstBlock], words[kFirstBlock + 1], scales_g, scales_g8, even, odd);
#pragma unroll
  for (std::uint32_t n = 0; n < kColumns; ++n) mma_m16n8k16(sums.of[n][0], even, b[n][0], b[n][1]);
#pragma unroll
  for (std::uint32_t n = 0; n < kColumns; ++n) mma_m16n8k16(sums.of[n][1], odd, b[n][2], b[n][3]);
}

// tiles: where they begin. rows: what the lane gives load_matrices() for column 0 of each 8 rows. column: bytes from
// there to the first tile's columns. Reads neither before nor after it is called.
template <std::uint32_t kColumns>
__device__ __forceinline__ void multiply_tiles(const std::uint8_t* tiles, std::uint32_t num_tiles,
                                               const std::uint32_t (&rows)[kColumns], std::uint32_t column,
                                               std::uint32_t sixteen, TileSums<kColumns>& sums) {
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint8_t* codes = tiles + kTileCodes + lane * 16;
  const std::uint8_t* scales = tiles + lane / 4 * 8;
  pin(column);
#pragma unroll 2
  for (std::uint32_t tile_idx = 0; tile_idx < num_tiles; ++tile_idx) {
    const uint4 code_words = *reinterpret_cast<const uint4*>(codes);
    const uint2 scale_words = *reinterpret_cast<const uint2*>(scales);
    const std::uint32_t words[4] = {code_words.x, code_words.y, code_words.z, code_words.w};
    std::uint32_t scales_g[2];
    std::uint32_t scales_g8[2];
    decode_row_scales(scale_words.x, sixteen, scales_g);
    decode_row_scales(scale_words.y, sixteen, scales_g8);
    multiply_two_blocks<0>(words, scales_g, scales_g8, rows, column, sums);
    multiply_two_blocks<2>(words, scales_g, scales_g8, rows, column, sums);
    codes += kTileBytes;
    scales += kTileBytes;
    column += kTileColumnBytes;
  }
  sums.pin_all();
}

}  // namespace nvfp4::kernels::cuda_sm90
