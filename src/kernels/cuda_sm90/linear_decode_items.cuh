// Which items a block of the kernels for few tokens has, and where its warps are in their rings of slots.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda_sm90/known_divisor.h"

namespace nvfp4::kernels::cuda_sm90 {

// Item i of a block. kOneRowGroup: row group blockIdx.x of chunk i. Else: the block's part of all row groups of chunk
// 0, then of chunk 1, ...; the first blocks have one more than the last. 32 bits are enough for all items: there are at
// most kMaxDecodePairs chunks, and no matrix has 2^21 row groups.
template <bool kOneRowGroup>
struct DecodeItems {
  const KnownDivisor& row_groups;
  std::uint32_t first, count;
  std::uint32_t first_chunk = 0, last_chunk = 0;

  __device__ __forceinline__ DecodeItems(const KnownDivisor& num_row_groups, const KnownDivisor& num_blocks,
                                         std::uint32_t num_chunks)
      : row_groups(num_row_groups) {
    if constexpr (kOneRowGroup) {
      first = 0;
      count = num_chunks;
    } else {
      const std::uint32_t total = num_chunks * row_groups.value;
      const std::uint32_t each = num_blocks.quotient(total);
      const std::uint32_t larger = total - each * num_blocks.value;
      first = blockIdx.x * each + min(blockIdx.x, larger);
      count = each + (blockIdx.x < larger ? 1 : 0);
    }
  }
  // Of a block with items, whose chunks take turns.
  __device__ __forceinline__ void find_chunks() {
    first_chunk = row_groups.quotient(first);
    last_chunk = row_groups.quotient(first + count - 1);
  }

  struct Cursor {
    std::uint32_t chunk, row_group;
  };
  __device__ __forceinline__ Cursor begin(std::uint32_t index) const {
    if constexpr (kOneRowGroup) return {index, blockIdx.x};
    const std::uint32_t chunk = row_groups.quotient(first + index);
    return {chunk, first + index - chunk * row_groups.value};
  }
  __device__ __forceinline__ void advance(Cursor& cursor, std::uint32_t by) const {
    if constexpr (kOneRowGroup) {
      cursor.chunk += by;
    } else {
      cursor.row_group += by;
#pragma unroll 1
      while (cursor.row_group >= row_groups.value) {
        cursor.row_group -= row_groups.value;
        ++cursor.chunk;
      }
    }
  }
};

// A place in a ring of `size` and the parity to wait for there.
struct RingPlace {
  std::uint32_t slot = 0;
  std::uint32_t parity = 0;

  __device__ __forceinline__ void advance(std::uint32_t size) {
    if (++slot == size) {
      slot = 0;
      parity ^= 1;
    }
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
