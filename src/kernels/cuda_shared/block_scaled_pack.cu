// A warp moves one tile of 16 x 64: lane 4 g + t the 32 codes that the tile has for it, and the scale of block t of
// rows g and g + 8. What is missing to a whole tile becomes 0.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda_shared/block_scaled_pack.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "layouts/block_scaled_16x64.h"

namespace nvfp4::kernels {
namespace {

using Layout = BlockScaled16x64;

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kWarps = kThreads / 32;
constexpr std::uint32_t kMaxGrid = 1U << 20;

__host__ __device__ std::uint64_t num_row_groups(const FragmentPieces& pieces) {
  return pieces.is_pair ? Layout::num_pair_row_groups(pieces.num_rows) : Layout::num_row_groups(pieces.num_rows);
}
__host__ __device__ std::uint64_t num_tiles(const FragmentPieces& pieces) {
  return pieces.num_matrices * num_row_groups(pieces) * Layout::num_tiles(pieces.cols);
}

// What a lane has to do with a tile.
struct LaneTile {
  std::uint32_t lane, g, t;
  std::uint64_t col;     // of the tile
  std::uint64_t row[2];  // of g and g + 8, of all matrices
  bool exists[2];

  __device__ LaneTile(const FragmentPieces& pieces, std::uint64_t tile_idx)
      : lane(threadIdx.x % 32), g(lane / 4), t(lane % 4) {
    const std::uint64_t tiles_of_row = Layout::num_tiles(pieces.cols);
    const std::uint64_t num_groups = num_row_groups(pieces);
    col = tile_idx % tiles_of_row * Layout::kCols;
    const std::uint64_t group = tile_idx / tiles_of_row % num_groups;
    const std::uint64_t matrix = tile_idx / tiles_of_row / num_groups;
    for (std::uint32_t half = 0; half < 2; ++half) {
      const std::uint64_t in_matrix =
          pieces.is_pair ? group * Layout::kPairRows + g : group * Layout::kRows + half * 8 + g;
      exists[half] = in_matrix < pieces.num_rows;
      row[half] = matrix * pieces.num_rows + in_matrix;
    }
  }
};

template <class Byte>
__device__ const RowMajorMatrix<Byte>& matrix_of(const FragmentPieces& pieces, std::uint32_t half,
                                                 const RowMajorMatrix<Byte>& first,
                                                 const RowMajorMatrix<Byte>& second) {
  return pieces.is_pair && half == 1 ? second : first;
}

// Eight codes of a row from column `col` on.
__device__ std::uint64_t codes_at(const FragmentPieces& pieces, std::uint64_t row, std::uint64_t col) {
  return (row * pieces.cols + col) / 2;
}
__device__ std::uint64_t scale_at(const FragmentPieces& pieces, std::uint64_t row, std::uint64_t col) {
  return row * (pieces.cols / pieces.block_size) + col / pieces.block_size;
}

__global__ void pack_kernel(FragmentPieces pieces, RowMajorMatrix<const std::uint8_t> first,
                            RowMajorMatrix<const std::uint8_t> second, std::uint8_t* packed) {
  const std::uint64_t num_warps = std::uint64_t{gridDim.x} * kWarps;
  std::uint64_t tile_idx = std::uint64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  for (; tile_idx < num_tiles(pieces); tile_idx += num_warps) {
    const LaneTile at(pieces, tile_idx);
    std::uint8_t* const tile = packed + tile_idx * Layout::kBytes;
    std::uint32_t words[4] = {0, 0, 0, 0};
    for (std::uint32_t half = 0; half < 2; ++half) {
      const RowMajorMatrix<const std::uint8_t>& from = matrix_of(pieces, half, first, second);
      for (std::uint32_t i = 0; i < 2; ++i) {
        const std::uint64_t col = at.col + i * 32 + at.t * 8;
        if (!at.exists[half] || col >= pieces.cols) continue;
        words[half + 2 * i] = *reinterpret_cast<const std::uint32_t*>(from.codes + codes_at(pieces, at.row[half], col));
      }
      const std::uint64_t col = at.col + at.t * Layout::kBlockCols;
      const bool has_scale = at.exists[half] && col < pieces.cols;
      tile[at.g * 8 + half * 4 + at.t] = has_scale ? from.scales[scale_at(pieces, at.row[half], col)] : std::uint8_t{0};
    }
    *reinterpret_cast<uint4*>(tile + Layout::kCodesOffset + at.lane * 16) = {words[0], words[1], words[2], words[3]};
  }
}

__global__ void unpack_kernel(FragmentPieces pieces, const std::uint8_t* packed, RowMajorMatrix<std::uint8_t> first,
                              RowMajorMatrix<std::uint8_t> second) {
  const std::uint64_t num_warps = std::uint64_t{gridDim.x} * kWarps;
  std::uint64_t tile_idx = std::uint64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  for (; tile_idx < num_tiles(pieces); tile_idx += num_warps) {
    const LaneTile at(pieces, tile_idx);
    const std::uint8_t* const tile = packed + tile_idx * Layout::kBytes;
    const uint4 loaded = *reinterpret_cast<const uint4*>(tile + Layout::kCodesOffset + at.lane * 16);
    const std::uint32_t words[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
    for (std::uint32_t half = 0; half < 2; ++half) {
      if (!at.exists[half]) continue;
      const RowMajorMatrix<std::uint8_t>& to = matrix_of(pieces, half, first, second);
      for (std::uint32_t i = 0; i < 2; ++i) {
        const std::uint64_t col = at.col + i * 32 + at.t * 8;
        if (col >= pieces.cols) continue;
        *reinterpret_cast<std::uint32_t*>(to.codes + codes_at(pieces, at.row[half], col)) = words[half + 2 * i];
      }
      const std::uint64_t col = at.col + at.t * Layout::kBlockCols;
      if (col >= pieces.cols || col % pieces.block_size != 0) continue;
      to.scales[scale_at(pieces, at.row[half], col)] = tile[at.g * 8 + half * 4 + at.t];
    }
  }
}

LaunchShape shape_of(const FragmentPieces& pieces) {
  const std::uint64_t num_tiles = pieces.num_matrices * num_row_groups(pieces) * Layout::num_tiles(pieces.cols);
  const std::uint64_t num_blocks = std::min<std::uint64_t>((num_tiles + kWarps - 1) / kWarps, kMaxGrid);
  return {.blocks = static_cast<std::uint32_t>(num_blocks), .num_threads = kThreads};
}

Status pack(const FragmentPieces& pieces, const RowMajorMatrix<const std::uint8_t>& first,
            const RowMajorMatrix<const std::uint8_t>& second, std::uint8_t* packed, DeviceStream stream) {
  const LaunchShape shape = shape_of(pieces);
  if (shape.blocks.x == 0) return {};
  return launch_in_order("pack NVFP4 weights", pack_kernel, shape, stream, pieces, first, second, packed);
}

Status unpack(const FragmentPieces& pieces, const std::uint8_t* packed, const RowMajorMatrix<std::uint8_t>& first,
              const RowMajorMatrix<std::uint8_t>& second, DeviceStream stream) {
  const LaunchShape shape = shape_of(pieces);
  if (shape.blocks.x == 0) return {};
  return launch_in_order("unpack NVFP4 weights", unpack_kernel, shape, stream, pieces, packed, first, second);
}

constexpr FragmentPacker kPacker{pack, unpack, DeviceWeightLayout::kBlockScaled16x64};

}  // namespace

const FragmentPacker& cuda_block_scaled_packer() { return kPacker; }

}  // namespace nvfp4::kernels
