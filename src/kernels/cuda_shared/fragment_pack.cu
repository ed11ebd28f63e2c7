// A warp brings one tile of 16 x 64 from one order into the other: lane 4 g + t reads (or writes) block t of rows g and
// g + 8 of the file, and writes (or reads) the codes of lane 4 g + t of the tile. Between the two stand shuffles
// within quads of lanes.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/fragment_pack.h"
#include "layouts/fragment_16x64.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::kernels {
namespace {

using Fragment = Fragment16x64;

constexpr std::uint32_t kWarpLanes = 32;
constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kMaxGrid = 1U << 20;
constexpr std::uint32_t kAllLanes = 0xFFFFFFFFU;

__host__ __device__ std::uint64_t num_row_groups(const FragmentPieces& pieces) {
  return pieces.is_pair ? Fragment::num_pair_row_groups(pieces.num_rows) : Fragment::num_row_groups(pieces.num_rows);
}

// Where row g (half 0) or g + 8 (half 1) of a row group comes from.
struct SourceRow {
  bool exists;
  std::uint64_t row;  // of all matrices
};

__device__ SourceRow source_row(const FragmentPieces& pieces, std::uint64_t matrix_idx, std::uint64_t group_idx,
                                std::uint32_t g, std::uint32_t half) {
  const std::uint64_t row = pieces.is_pair ? group_idx * Fragment::kPairRows + g
                                           : group_idx * Fragment::kRows + half * Fragment::kPairRows + g;
  return {row < pieces.num_rows, matrix_idx * pieces.num_rows + row};
}

__device__ std::uint32_t byte_of(std::uint32_t word, std::uint32_t byte_idx) { return word >> byte_idx * 8 & 0xFFU; }

// Two codes (low nibble first) into, and out of, pair `pair` of block `block` of the words of two blocks.
__device__ std::uint64_t place_pair(std::uint32_t codes, std::uint32_t block, std::uint32_t pair) {
  const std::uint32_t first = 8 * block + 2 * pair;
  return place_fragment_code(codes & 15U, first) | place_fragment_code(codes >> 4, first + 1);
}
__device__ std::uint32_t take_pair(std::uint64_t words, std::uint32_t block, std::uint32_t pair) {
  const std::uint32_t first = 8 * block + 2 * pair;
  return take_fragment_code(words, first) | take_fragment_code(words, first + 1) << 4;
}

// The tile that a warp works on, as its lane sees it.
struct LaneTile {
  std::uint32_t lane, g, t;
  std::uint64_t matrix_idx, group_idx;
  std::uint64_t col;  // of block t
  std::uint8_t* tile;

  __device__ LaneTile(const FragmentPieces& pieces, std::uint64_t tile_idx, std::uint8_t* packed)
      : lane(threadIdx.x % kWarpLanes), g(lane / 4), t(lane % 4), tile(packed + tile_idx * Fragment::kBytes) {
    const std::uint64_t num_tiles = Fragment::num_tiles(pieces.cols);
    const std::uint64_t num_groups = num_row_groups(pieces);
    col = tile_idx % num_tiles * Fragment::kCols + t * Fragment::kBlockCols;
    group_idx = tile_idx / num_tiles % num_groups;
    matrix_idx = tile_idx / num_tiles / num_groups;
  }
};

__device__ std::uint64_t num_tiles(const FragmentPieces& pieces) {
  return pieces.num_matrices * num_row_groups(pieces) * Fragment::num_tiles(pieces.cols);
}

__device__ void pack_tile(const FragmentPieces& pieces, const LaneTile& at,
                          const RowMajorMatrix<const std::uint8_t>& first,
                          const RowMajorMatrix<const std::uint8_t>& second) {
  uint2 block[2];  // 16 codes of block t
#pragma unroll
  for (std::uint32_t half = 0; half < 2; ++half) {
    const SourceRow from = source_row(pieces, at.matrix_idx, at.group_idx, at.g, half);
    const RowMajorMatrix<const std::uint8_t> matrix = pieces.is_pair && half == 1 ? second : first;
    std::uint32_t scale = 0;
    block[half] = {0, 0};
    if (from.exists && at.col < pieces.cols) {
      scale =
          encode_tile_scale(matrix.scales[from.row * (pieces.cols / pieces.block_size) + at.col / pieces.block_size]);
      if (scale != 0) {
        block[half] = *reinterpret_cast<const uint2*>(matrix.codes + from.row * (pieces.cols / 2) + at.col / 2);
      }
    }
    at.tile[at.g * 8 + half * 4 + at.t] = static_cast<std::uint8_t>(scale);
  }
  std::uint64_t words[2] = {0, 0};
#pragma unroll
  for (std::uint32_t b = 0; b < Fragment::kBlocks; ++b) {
    const std::uint32_t lane = at.g * 4 + b;
#pragma unroll
    for (std::uint32_t half = 0; half < 2; ++half) {
      words[b / 2] |= place_pair(byte_of(__shfl_sync(kAllLanes, block[half].x, lane), at.t), b % 2, half);
      words[b / 2] |= place_pair(byte_of(__shfl_sync(kAllLanes, block[half].y, lane), at.t), b % 2, half + 2);
    }
  }
  *reinterpret_cast<ulonglong2*>(at.tile + Fragment::kCodesOffset + at.lane * 16) = {words[0], words[1]};
}

__device__ void unpack_tile(const FragmentPieces& pieces, const LaneTile& at, const RowMajorMatrix<std::uint8_t>& first,
                            const RowMajorMatrix<std::uint8_t>& second) {
  const auto loaded = *reinterpret_cast<const ulonglong2*>(at.tile + Fragment::kCodesOffset + at.lane * 16);
#pragma unroll
  for (std::uint32_t half = 0; half < 2; ++half) {
    // Byte t of the low and of the high eight codes of every block, one block to each byte: rows and columns of a quad.
    std::uint32_t low = 0;
    std::uint32_t high = 0;
#pragma unroll
    for (std::uint32_t b = 0; b < Fragment::kBlocks; ++b) {
      const std::uint64_t words = b < 2 ? loaded.x : loaded.y;
      low |= take_pair(words, b % 2, half) << b * 8;
      high |= take_pair(words, b % 2, half + 2) << b * 8;
    }
    uint2 block = {0, 0};
    for (std::uint32_t t = 0; t < 4; ++t) {
      block.x |= byte_of(__shfl_sync(kAllLanes, low, at.g * 4 + t), at.t) << t * 8;
      block.y |= byte_of(__shfl_sync(kAllLanes, high, at.g * 4 + t), at.t) << t * 8;
    }
    const SourceRow to = source_row(pieces, at.matrix_idx, at.group_idx, at.g, half);
    if (!to.exists || at.col >= pieces.cols) continue;
    const RowMajorMatrix<std::uint8_t> matrix = pieces.is_pair && half == 1 ? second : first;
    *reinterpret_cast<uint2*>(matrix.codes + to.row * (pieces.cols / 2) + at.col / 2) = block;
    if (at.col % pieces.block_size != 0) continue;
    matrix.scales[to.row * (pieces.cols / pieces.block_size) + at.col / pieces.block_size] =
        decode_tile_scale(at.tile[at.g * 8 + half * 4 + at.t]);
  }
}

__global__ void pack_kernel(FragmentPieces pieces, RowMajorMatrix<const std::uint8_t> first,
                            RowMajorMatrix<const std::uint8_t> second, std::uint8_t* packed) {
  const std::uint64_t num_warps = std::uint64_t{gridDim.x} * (kThreads / kWarpLanes);
  std::uint64_t tile_idx = std::uint64_t{blockIdx.x} * (kThreads / kWarpLanes) + threadIdx.x / kWarpLanes;
  for (; tile_idx < num_tiles(pieces); tile_idx += num_warps) {
    pack_tile(pieces, LaneTile(pieces, tile_idx, packed), first, second);
  }
}

__global__ void unpack_kernel(FragmentPieces pieces, const std::uint8_t* packed, RowMajorMatrix<std::uint8_t> first,
                              RowMajorMatrix<std::uint8_t> second) {
  const std::uint64_t num_warps = std::uint64_t{gridDim.x} * (kThreads / kWarpLanes);
  std::uint64_t tile_idx = std::uint64_t{blockIdx.x} * (kThreads / kWarpLanes) + threadIdx.x / kWarpLanes;
  for (; tile_idx < num_tiles(pieces); tile_idx += num_warps) {
    unpack_tile(pieces, LaneTile(pieces, tile_idx, const_cast<std::uint8_t*>(packed)), first, second);
  }
}

std::uint32_t grid_size(const FragmentPieces& pieces) {
  const std::uint64_t num_warps = pieces.num_matrices * num_row_groups(pieces) * Fragment::num_tiles(pieces.cols);
  constexpr std::uint64_t kWarps = kThreads / kWarpLanes;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>((num_warps + kWarps - 1) / kWarps, kMaxGrid));
}

Status pack(const FragmentPieces& pieces, const RowMajorMatrix<const std::uint8_t>& first,
            const RowMajorMatrix<const std::uint8_t>& second, std::uint8_t* packed, DeviceStream stream) {
  const std::uint32_t grid = grid_size(pieces);
  if (grid == 0) return {};
  return launch_in_order("pack NVFP4 weights", pack_kernel, {.blocks = grid, .num_threads = kThreads}, stream, pieces,
                         first, second, packed);
}

Status unpack(const FragmentPieces& pieces, const std::uint8_t* packed, const RowMajorMatrix<std::uint8_t>& first,
              const RowMajorMatrix<std::uint8_t>& second, DeviceStream stream) {
  const std::uint32_t grid = grid_size(pieces);
  if (grid == 0) return {};
  return launch_in_order("unpack NVFP4 weights", unpack_kernel, {.blocks = grid, .num_threads = kThreads}, stream,
                         pieces, packed, first, second);
}

constexpr FragmentPacker kPacker{pack, unpack, DeviceWeightLayout::kFragment16x64};

}  // namespace

const FragmentPacker& cuda_fragment_packer() { return kPacker; }

}  // namespace nvfp4::kernels
