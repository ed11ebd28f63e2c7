// Every number depends on its place and the key alone: a hash of both.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/random_fill.h"
#include "layouts/fragment_16x64.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::kernels {
namespace {

using Fragment = Fragment16x64;

constexpr std::uint32_t kWarpLanes = 32;
constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kMaxGrid = 1U << 16;
constexpr std::uint32_t kFirstScale = 0x30;  // E4M3 1/2
constexpr std::uint32_t kScaleMask = 0x0F;
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;

// SplitMix64's output function.
__device__ std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}
__device__ std::uint64_t random_bits(std::uint64_t key, std::uint64_t place) {
  return mix(key + (place + 1) * kGolden);
}

__device__ std::uint64_t first_thread() { return std::uint64_t{blockIdx.x} * kThreads + threadIdx.x; }
__device__ std::uint64_t num_threads() { return std::uint64_t{gridDim.x} * kThreads; }

__host__ __device__ std::uint64_t num_row_groups(const FragmentPieces& pieces) {
  return pieces.is_pair ? Fragment::num_pair_row_groups(pieces.num_rows) : Fragment::num_row_groups(pieces.num_rows);
}
__host__ __device__ std::uint64_t num_tiles(const FragmentPieces& pieces) {
  return pieces.num_matrices * num_row_groups(pieces) * Fragment::num_tiles(pieces.cols);
}

// The bits of two words that hold codes of one of their blocks, of row g + 8 half.
__device__ constexpr std::uint64_t code_mask(std::uint32_t block, std::uint32_t half) {
  std::uint64_t mask = 0;
  for (std::uint32_t pair = half; pair < 4; pair += 2) {
    for (std::uint32_t h = 0; h < 2; ++h) mask |= place_fragment_code(15, 8 * block + 2 * pair + h);
  }
  return mask;
}

// By one warp.
__device__ void fill_tile(const FragmentPieces& pieces, std::uint64_t key, std::uint64_t tile_idx,
                          std::uint8_t* packed) {
  const std::uint32_t lane = threadIdx.x % kWarpLanes;
  const std::uint32_t g = lane / 4;
  const std::uint32_t t = lane % 4;
  const std::uint64_t tiles_per_row = Fragment::num_tiles(pieces.cols);
  const std::uint64_t group_idx = tile_idx / tiles_per_row % num_row_groups(pieces);
  const std::uint64_t col = tile_idx % tiles_per_row * Fragment::kCols;
  const std::uint64_t group_rows = pieces.is_pair ? Fragment::kPairRows : Fragment::kRows;
  const std::uint64_t row = group_idx * group_rows + g;
  const bool exists[2] = {row < pieces.num_rows, row + (pieces.is_pair ? 0 : Fragment::kPairRows) < pieces.num_rows};

  const std::uint64_t place = (tile_idx * kWarpLanes + lane) * 3;
  const std::uint64_t low = random_bits(key, place);
  const std::uint64_t high = random_bits(key, place + 1);
  std::uint64_t words[2] = {low, high};  // of two blocks each
  for (std::uint32_t i = 0; i < 2; ++i) {
    std::uint64_t mask = 0;
    for (std::uint32_t block = 0; block < 2; ++block) {
      if (col + (2 * i + block) * Fragment::kBlockCols >= pieces.cols) continue;
      mask |= (exists[0] ? code_mask(block, 0) : 0) | (exists[1] ? code_mask(block, 1) : 0);
    }
    words[i] &= mask;
  }
  std::uint8_t* const tile = packed + tile_idx * Fragment::kBytes;
  *reinterpret_cast<ulonglong2*>(tile + Fragment::kCodesOffset + lane * 16) = {words[0], words[1]};

  const std::uint64_t scales = random_bits(key, place + 2);
  const bool has_block = col + t * Fragment::kBlockCols < pieces.cols;
  for (std::uint32_t half = 0; half < 2; ++half) {
    const std::uint32_t scale = kFirstScale + (static_cast<std::uint32_t>(scales >> half * 8) & kScaleMask);
    tile[g * 8 + half * 4 + t] =
        has_block && exists[half] ? static_cast<std::uint8_t>(encode_tile_scale(static_cast<std::uint8_t>(scale))) : 0;
  }
}

__global__ void fill_fragments_kernel(FragmentPieces pieces, std::uint64_t key, std::uint8_t* packed) {
  const std::uint64_t count = num_tiles(pieces);
  for (std::uint64_t i = first_thread() / kWarpLanes; i < count; i += num_threads() / kWarpLanes) {
    fill_tile(pieces, key, i, packed);
  }
}

// Eight bytes a thread.
__global__ void fill_e4m3_kernel(std::size_t count, std::uint64_t key, std::uint8_t* values) {
  constexpr std::uint64_t kFinite = 0xF7F7F7F7F7F7F7F7ULL;  // the exponent never is all ones
  for (std::uint64_t i = first_thread() * 8; i < count; i += num_threads() * 8) {
    const std::uint64_t bits = random_bits(key, i) & kFinite;
    if (i + 8 <= count) {
      *reinterpret_cast<std::uint64_t*>(values + i) = bits;
      continue;
    }
    for (std::uint64_t j = i; j < count; ++j) values[j] = static_cast<std::uint8_t>(bits >> (j - i) * 8);
  }
}

__device__ std::uint32_t bf16_bits(float value) {  // nearest, ties to even; finite
  const std::uint32_t bits = __float_as_uint(value);
  return (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U;
}

// Box and Muller's two numbers a thread.
__global__ void fill_bf16_kernel(std::size_t count, float deviation, std::uint64_t key, Bf16Bits* values) {
  constexpr float kUnit = 0x1p-32F;
  for (std::uint64_t i = first_thread() * 2; i < count; i += num_threads() * 2) {
    const std::uint64_t bits = random_bits(key, i);
    const float uniform = (static_cast<float>(static_cast<std::uint32_t>(bits >> 32U)) + 1.0F) * kUnit;
    const float radius = deviation * sqrtf(-2.0F * logf(fminf(uniform, 1.0F)));
    float sine = 0.0F;
    float cosine = 0.0F;
    sincospif(2.0F * kUnit * static_cast<float>(static_cast<std::uint32_t>(bits)), &sine, &cosine);
    values[i] = static_cast<Bf16Bits>(bf16_bits(radius * cosine));
    if (i + 1 < count) values[i + 1] = static_cast<Bf16Bits>(bf16_bits(radius * sine));
  }
}

__global__ void count_bf16_kernel(const Bf16Bits* values, std::size_t count, ValueCounts* counts) {
  constexpr std::uint32_t kMagnitude = 0x7FFF;
  constexpr std::uint32_t kInfinity = 0x7F80;
  std::uint32_t num_not_finite = 0;
  std::uint32_t num_not_zero = 0;
  for (std::uint64_t i = first_thread(); i < count; i += num_threads()) {
    const std::uint32_t magnitude = values[i] & kMagnitude;
    num_not_finite += magnitude >= kInfinity ? 1 : 0;
    num_not_zero += magnitude != 0 ? 1 : 0;
  }
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  atomicAdd(reinterpret_cast<unsigned long long*>(&counts->num_not_finite), num_not_finite);
  atomicAdd(reinterpret_cast<unsigned long long*>(&counts->num_not_zero), num_not_zero);
}

std::uint32_t grid_size(std::uint64_t num_items, std::uint64_t items_per_block) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>((num_items + items_per_block - 1) / items_per_block, kMaxGrid));
}

Status fill_fragments(const FragmentPieces& pieces, std::uint64_t key, std::uint8_t* packed, DeviceStream stream) {
  const std::uint32_t grid = grid_size(num_tiles(pieces), kThreads / kWarpLanes);
  if (grid == 0) return {};
  return launch_in_order("fill NVFP4 weights", fill_fragments_kernel, {.blocks = grid, .num_threads = kThreads}, stream,
                         pieces, key, packed);
}

Status fill_e4m3(std::size_t count, std::uint64_t key, std::uint8_t* values, DeviceStream stream) {
  const std::uint32_t grid = grid_size(count, kThreads * 8);
  if (grid == 0) return {};
  return launch_in_order("fill FP8 weights", fill_e4m3_kernel, {.blocks = grid, .num_threads = kThreads}, stream, count,
                         key, values);
}

Status fill_bf16(std::size_t count, double deviation, std::uint64_t key, Bf16Bits* values, DeviceStream stream) {
  const std::uint32_t grid = grid_size(count, kThreads * 2);
  if (grid == 0) return {};
  return launch_in_order("fill BF16 numbers", fill_bf16_kernel, {.blocks = grid, .num_threads = kThreads}, stream,
                         count, static_cast<float>(deviation), key, values);
}

Status count_bf16(const Bf16Bits* values, std::size_t count, ValueCounts* counts, DeviceStream stream) {
  const std::uint32_t grid = grid_size(count, kThreads);
  if (grid == 0) return {};
  return launch_in_order("look at BF16 numbers", count_bf16_kernel, {.blocks = grid, .num_threads = kThreads}, stream,
                         values, count, counts);
}

constexpr DeviceRandom kRandom{fill_fragments, fill_e4m3, fill_bf16, count_bf16};

}  // namespace

const DeviceRandom& cuda_random() { return kRandom; }

}  // namespace nvfp4::kernels
