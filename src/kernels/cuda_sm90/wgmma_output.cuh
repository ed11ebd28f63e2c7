// How the sums of a large tile leave: a warpgroup puts a few columns into shared memory as its warps hold them and then
// stores whole pieces of 16 bytes, 64 or 128 bytes of a column side by side. From where they are, a warp would touch
// eight lines with each store.
//
//   buffer   [columns][64 or 128 bytes], pieces of 16 bytes in an order that depends on the column: neither side meets
//            itself in a bank. Two take turns.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/ptx/barriers.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_sm90/wgmma_multiply.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// Where a piece lies in a buffer whose columns have kPieces.
template <std::uint32_t kPieces>
__device__ __forceinline__ std::uint32_t place_of_piece(std::uint32_t column, std::uint32_t piece) {
  const std::uint32_t turn = kPieces == 4 ? column / 2 % 4 : column % 8;
  return (column * kPieces + (piece ^ turn)) * 16;
}

// A warpgroup's buffers, and this thread in it: not known before, so that the registers are the sums' until then.
template <std::uint32_t kPieces>
struct OutputBuffers {
  static constexpr std::uint32_t kColumns = kOutputBufferBytes / (kPieces * 16);  // at a time

  std::uint32_t address;
  std::uint32_t warpgroup;  // 1, 2, ...
  std::uint32_t thread = thread_from_here_on() % 128;

  [[nodiscard]] __device__ __forceinline__ std::uint32_t lane() const { return thread % 32; }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t warp() const { return thread / 32; }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t column() const { return thread / kPieces; }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t piece() const { return thread % kPieces; }

  // put(block, buffer) puts kColumns columns, from the block-th 8 of the tile on; take(column, bytes) stores this
  // thread's piece() of a column. By all threads of the warpgroup.
  template <std::uint32_t kMaxColumns, class Put, class Take>
  __device__ __forceinline__ void store(std::uint32_t num_columns, const Put& put, const Take& take) const {
    sync();  // what the tile before has put is stored
#pragma unroll
    for (std::uint32_t first = 0; first < kMaxColumns; first += kColumns) {
      if (first >= num_columns) break;
      const std::uint32_t buffer = address + first / kColumns % 2 * kOutputBufferBytes;
      put(first / 8, buffer);
      sync();
      take(first + column(), load_shared_16(buffer + place_of_piece<kPieces>(column(), piece())));
    }
  }

 private:
  __device__ __forceinline__ void sync() const { sync_warps(warpgroup, 128); }  // below 8
};

// For store_4_matrices_transposed() of a warp's 16 rows, rows g and g + 8 of a block of 8 columns and of the next: this
// lane's place.
__device__ __forceinline__ std::uint32_t place_of_two_blocks(const OutputBuffers<8>& output) {
  const std::uint32_t lane = output.lane();
  return place_of_piece<8>(lane / 16 * 8 + lane % 8, output.warp() * 2 + lane / 8 % 2);
}

}  // namespace nvfp4::kernels::cuda_sm90
