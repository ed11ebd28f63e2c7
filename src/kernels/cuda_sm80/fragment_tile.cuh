// A tile of NVFP4 weights in Fragment16x64 times columns of BF16 activations: copies by threads into a ring of stages,
// then weights decoded to A operands in registers, each for all columns of the warp. A sum runs over its tiles in the
// order of the calls, in a tile over K.
#pragma once

#include <cstdint>

#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/fragment_codes.cuh"
#include "kernels/cuda_shared/ptx/copies.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_sm80/fragment_shapes.h"

namespace nvfp4::kernels::cuda_sm80 {

struct FragmentMatrices {
  const std::uint8_t* weights = nullptr;  // the block's first row group
  std::uint32_t num_groups = 0;           // from there on; of those that are missing to the shape, the last one
  const Bf16Bits* x = nullptr;            // [rows, K]
  std::uint32_t in_features = 0;          // K, a multiple of 16
  std::uint32_t num_columns = 0;          // from the block's first one on; those that are missing to the shape: zeros
  std::uint32_t sixteen = 16;             // see decode_row_scales()
};

// A stage: [tokens][64] of x, pieces of 16 bytes exchanged within a row, piece p at p ^ (row % 8), so that neither
// writing rows nor reading fragments meets a bank twice; then the tiles of the row groups as they are in memory.
template <std::uint32_t kShapeIdx>
class FragmentTile {
 public:
  static constexpr FragmentShape kShape = kFragmentShapes[kShapeIdx];
  static constexpr std::uint32_t kGroups = kShape.groups;
  static constexpr std::uint32_t kColumns = kShape.columns;

  // By all threads of the block.
  __device__ __forceinline__ FragmentTile(const FragmentMatrices& matrices, std::uint8_t* shared)
      : matrices_(matrices),
        rows_(reinterpret_cast<std::uint32_t*>(shared + kShape.rows_at())),
        kept_(reinterpret_cast<Kept*>(shared + kShape.weights_at())) {
    const std::uint32_t group_bytes = (matrices.in_features + kCols - 1) / kCols * kTileBytes;
    const std::uint32_t last = matrices.num_groups - 1;
    const std::uint32_t lane = threadIdx.x % 32;
#pragma unroll
    for (std::uint32_t i = 0; i < kOwnGroups; ++i) {
      codes_[i] = min(first_own_group() + i, last) * group_bytes + kCodesOffset + lane * 16;
    }
    if constexpr (kOwnGroups > 2) scales_ = min(first_own_group() + lane / 4, last) * group_bytes + lane % 4 * 16;
    if (threadIdx.x == 0) kept_->weights = matrices.weights, kept_->num_columns = matrices.num_columns;
  }

  // row_of(column): row of x, of columns below num_columns. By all threads of the block; before x is copied.
  template <class RowOf>
  __device__ __forceinline__ void find_rows(RowOf row_of) {
    const std::uint32_t column = threadIdx.x;
    if (column < kShape.tokens()) {
      rows_[column % kXRows * kXRounds + column / kXRows] = row_of(min(column, matrices_.num_columns - 1));
    }
    __syncthreads();
  }

  // Stages are at addresses of shared memory. After find_rows(), weights are weights().
  [[nodiscard]] __device__ __forceinline__ const std::uint8_t* weights() const { return kept_->weights; }
  __device__ __forceinline__ void copy_weights(const std::uint8_t* from, std::uint32_t stage,
                                               std::uint32_t tile) const {
    const std::uint32_t in_row = tile * kTileBytes;
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t to = stage + kShape.x_bytes() + first_own_group() * kTileBytes;
#pragma unroll
    for (std::uint32_t i = 0; i < kOwnGroups; ++i) {
      copy_16_bytes(to + i * kTileBytes + kCodesOffset + lane * 16, from + (codes_[i] + in_row), 16);
    }
    if (lane < 4 * kOwnGroups)
      copy_16_bytes(to + lane / 4 * kTileBytes + lane % 4 * 16, from + (scales_of(lane) + in_row), 16);
  }
  __device__ __forceinline__ void copy_x(std::uint32_t stage, std::uint32_t tile) const {
    const std::uint32_t piece = thread() % 8;
    const std::uint32_t k = tile * kCols + piece * 8;
    const std::uint32_t column = thread() / 8;  // of the first round
    const auto* const from = reinterpret_cast<const std::uint8_t*>(matrices_.x + k);
    const std::uint32_t to = stage + column * 128 + (piece ^ (column % 8)) * 16;
    const std::uint32_t num_columns = k < matrices_.in_features ? kept_->num_columns : 0;
    const Rounds rows = reinterpret_cast<const Rounds*>(rows_)[column];
#pragma unroll
    for (std::uint32_t i = 0; i < kXRounds; ++i) {
      copy_16_bytes((to ^ (i * kXRows % 8 * 16)) + i * kXRows * 128,
                    from + std::uint64_t{rows.row[i]} * (matrices_.in_features * 2),
                    column + i * kXRows < num_columns ? 16 : 0);
    }
  }

  // This warp's row groups and columns of the block's.
  __device__ __forceinline__ static std::uint32_t first_group() {
    return kShape.shares_k() ? 0 : threadIdx.x / 32 % kShape.row_warps * kGroups;
  }
  __device__ __forceinline__ static std::uint32_t first_column() {
    return kShape.token_warps == 1 ? 0 : threadIdx.x / 32 / kShape.row_warps * kColumns;
  }

  // A stage, and its address in shared memory, a multiple of 128: places in a row change by exclusive or.
  __device__ __forceinline__ void multiply(const std::uint8_t* stage, std::uint32_t stage_address) {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint8_t* const tiles = stage + kShape.x_bytes() + first_group() * kTileBytes;
    std::uint32_t words[kGroups][4];
    std::uint32_t scales_g[kGroups][2], scales_g8[kGroups][2];
#pragma unroll
    for (std::uint32_t group = 0; group < kGroups; ++group) {
      const std::uint8_t* const tile = tiles + group * kTileBytes;
      const uint2 scales = *reinterpret_cast<const uint2*>(tile + lane / 4 * 8);
      const uint4 codes = *reinterpret_cast<const uint4*>(tile + kCodesOffset + lane * 16);
      words[group][0] = codes.x, words[group][1] = codes.y, words[group][2] = codes.z, words[group][3] = codes.w;
      decode_row_scales(scales.x, matrices_.sixteen, scales_g[group]);
      decode_row_scales(scales.y, matrices_.sixteen, scales_g8[group]);
    }
    // A lane's row of one matrix of four: 32 numbers of K of a column, or 16 of two columns.
    constexpr bool kIsOneColumn = kColumns == 1;
    const std::uint32_t column_row = (kIsOneColumn ? 0 : lane / 16 * 8) + lane % 8;
    const std::uint32_t piece = ((kIsOneColumn ? lane / 8 : lane / 8 % 2) ^ (lane % 8)) * 16;
    const std::uint32_t x = stage_address + (first_column() * 8 + column_row) * 128 + piece;
    multiply_half<false>(words, scales_g, scales_g8, x);
    multiply_half<true>(words, scales_g, scales_g8, x ^ 64);
  }

  float sums[kGroups][kColumns][4] = {};

 private:
  static constexpr std::uint32_t kCols = static_cast<std::uint32_t>(Fragment16x64::kCols);
  static constexpr std::uint32_t kTileBytes = static_cast<std::uint32_t>(Fragment16x64::kBytes);
  static constexpr auto kCodesOffset = static_cast<std::uint32_t>(Fragment16x64::kCodesOffset);
  static constexpr std::uint32_t kCopyThreads = kShape.shares_k() ? 32 : kShape.threads();
  static constexpr std::uint32_t kOwnGroups = kShape.tile_groups() * 32 / kCopyThreads;  // that a warp copies
  static_assert(kOwnGroups * kCopyThreads == kShape.tile_groups() * 32 && kOwnGroups <= 8);
  static constexpr std::uint32_t kXRows = kCopyThreads / 8;  // at once
  static constexpr std::uint32_t kXRounds = kShape.tokens() / kXRows;
  static_assert(kXRounds * kXRows == kShape.tokens() && kXRows % 4 == 0);
  struct alignas(4 * kXRounds) Rounds {
    std::uint32_t row[kXRounds];
  };

  __device__ __forceinline__ static std::uint32_t thread() { return threadIdx.x % kCopyThreads; }

  // Of lanes that copy scales.
  __device__ __forceinline__ std::uint32_t scales_of(std::uint32_t lane) const {
    if constexpr (kOwnGroups == 1) return codes_[0] - kCodesOffset;
    if constexpr (kOwnGroups == 2) return lane < 4 ? codes_[0] - kCodesOffset : codes_[1] - kCodesOffset - 4 * 16;
    return scales_;
  }
  __device__ __forceinline__ static std::uint32_t first_own_group() { return thread() / 32 * kOwnGroups; }

  // Blocks 0 and 1, or 2 and 3, of a tile.
  template <bool kHigh>
  __device__ __forceinline__ void multiply_half(const std::uint32_t (&words)[kGroups][4],
                                                const std::uint32_t (&scales_g)[kGroups][2],
                                                const std::uint32_t (&scales_g8)[kGroups][2], std::uint32_t x) {
    std::uint32_t even[kGroups][4], odd[kGroups][4];
#pragma unroll
    for (std::uint32_t group = 0; group < kGroups; ++group) {
      decode_two_blocks<kHigh>(words[group][kHigh ? 2 : 0], words[group][kHigh ? 3 : 1], scales_g[group],
                               scales_g8[group], even[group], odd[group]);
    }
    if constexpr (kColumns == 1) {
      std::uint32_t b[4];
      load_4_matrices(b, x);
#pragma unroll
      for (std::uint32_t group = 0; group < kGroups; ++group) {
        mma_m16n8k16(sums[group][0], even[group], b[0], b[1]);
        mma_m16n8k16(sums[group][0], odd[group], b[2], b[3]);
      }
    } else {
      multiply_block(even, x);
      multiply_block(odd, x ^ 32);
    }
  }
  __device__ __forceinline__ void multiply_block(const std::uint32_t (&a)[kGroups][4], std::uint32_t x) {
#pragma unroll
    for (std::uint32_t column = 0; column < kColumns; column += 2) {
      std::uint32_t b[4];
      load_4_matrices(b, x + column * (8 * 128));
#pragma unroll
      for (std::uint32_t group = 0; group < kGroups; ++group) {
        mma_m16n8k16(sums[group][column], a[group], b[0], b[1]);
        mma_m16n8k16(sums[group][column + 1], a[group], b[2], b[3]);
      }
    }
  }

  const FragmentMatrices matrices_;
  std::uint32_t codes_[kOwnGroups];  // where this thread's pieces of a tile lie
  std::uint32_t scales_ = 0;
  // In shared memory: registers do not suffice for them.
  std::uint32_t* const rows_;  // of x, of the block's columns: [column % kXRows][round]
  struct Kept {
    const std::uint8_t* weights;
    std::uint32_t for_split_sums;
    std::uint32_t num_columns;
  };
  Kept* const kept_;
};

}  // namespace nvfp4::kernels::cuda_sm80
