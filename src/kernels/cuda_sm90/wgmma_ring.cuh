// The ring of stages in shared memory between the warps that copy and the warps that multiply.
//
//   stage   one or two tiles of 64 numbers of K: activations [tiles][kMaxColumns][64] BF16, swizzled as wgmma.cuh says,
//           and weights [row groups][tiles][576]; in memory, the activations of all stages come first
//
// Behind it are the buffers of wgmma_output.cuh.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_sm90/wgmma_tiles.cuh"
#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kWeightTileBytes = static_cast<std::uint32_t>(Fragment16x64::kBytes);
inline constexpr std::uint32_t kColumnBytes = 128;  // of one token in a tile of 64
inline constexpr std::uint32_t kCopyThreads = 128;  // the first warpgroup: where warps compete, the first ones win
inline constexpr std::uint32_t kOutputBufferBytes = 2048;  // of a warpgroup; there are two

// A kind of block: up to 32, 64, 128 or 256 tokens in a tile; 32 and kPair64 run two blocks on a multiprocessor. Few
// tokens: memory sets the pace, and decoding takes most instructions; of two blocks one multiplies while the other
// stores. Many: products set the pace, and the sums take most registers.
inline constexpr std::uint32_t kPair = 1U << 16;
inline constexpr std::uint32_t kPair64 = 64 | kPair;
inline constexpr std::uint32_t kLines = 1U << 17;  // beside the others: results leave through wgmma_output.cuh
inline constexpr std::uint32_t kLines128 = 128 | kLines;
inline constexpr std::uint32_t kLines256 = 256 | kLines;

template <std::uint32_t kKind>
struct WgmmaShape {
  static constexpr std::uint32_t kMaxColumns = kKind % kPair;
  static constexpr bool kFew = kMaxColumns <= 64;
  static constexpr bool kMost = kMaxColumns > 128;
  static constexpr bool kIsPair = (kKind & kPair) != 0;
  static constexpr bool kByLines = (kKind & kLines) != 0;
  static constexpr std::uint32_t kBlocksPerSm = kMaxColumns <= 32 || kIsPair ? 2 : 1;
  // Blocks that share K add up their sums in memory: clusters of small blocks find no place together. Large tiles have
  // too many sums for that.
  static constexpr bool kSplitsInMemory = kBlocksPerSm == 2;
  static constexpr std::uint32_t kConsumerWarps = kMost || kBlocksPerSm == 2 ? 8 : 16;
  static constexpr std::uint32_t kThreads = kCopyThreads + 32 * kConsumerWarps;
  // With the next, all that the block starts with.
  static constexpr std::uint32_t kConsumerRegisters = kMost ? 216 : kBlocksPerSm == 2 ? 104 : 112;
  static constexpr std::uint32_t kCopyRegisters = kMost ? 72 : 32;
  static constexpr std::uint32_t kTileGroups = kConsumerWarps;
  static constexpr std::uint32_t kStageTiles = kFew ? 2 : 1;
  // Of decoded weights: a tile of 64, or half of one where the registers do not hold two tiles.
  static constexpr std::uint32_t kBuffers = kFew || kMost ? 2 : 1;
  static constexpr bool kHalfBuffers = kIsPair;
  // The number of columns is chosen for a tile, up to kBucket, then for each product, up to kGranule: as far as the
  // compiler keeps products in flight. Eight columns take as long as sixteen.
  static constexpr std::uint32_t kBucket = kMost ? kMaxColumns : kMaxColumns == 32 ? 16 : 32;
  static constexpr std::uint32_t kGranule = kMost ? 8 : 16;

  static constexpr std::uint32_t kColumnsBytes = kMaxColumns * kColumnBytes;  // of one tile of 64
  static constexpr std::uint32_t kGroupBytes = kStageTiles * kWeightTileBytes;
  static constexpr std::uint32_t kWeightsBytes = kTileGroups * kGroupBytes;  // of a stage
  static constexpr std::uint32_t kOutputBytes = kByLines ? kConsumerWarps / 4 * 2 * kOutputBufferBytes : 0;
  static constexpr std::uint32_t kRingBytes = ((kBlocksPerSm == 2 ? 107 : 219) << 10) - kOutputBytes;
  static constexpr std::uint32_t kStages = kRingBytes / (kStageTiles * kColumnsBytes + kWeightsBytes);
  static constexpr std::uint32_t kWeightsOffset = kStages * kStageTiles * kColumnsBytes;
  static constexpr std::uint32_t kOutputOffset = kWeightsOffset + kStages * kWeightsBytes;
  static constexpr std::uint32_t kBarriersOffset = kOutputOffset + kOutputBytes;  // full, empty: 8 bytes each
  static constexpr std::uint32_t kSharedBytes = kBarriersOffset + 16 * kStages;
  static_assert(kStages < kTileSlots);  // copies are at most kStages tiles ahead of a tile that is being stored
};

// Of a block, with `variables` bytes of the kernel's variables: what it asks for comes behind them, aligned.
template <std::uint32_t kKind>
constexpr std::uint64_t shared_bytes_with(std::uint64_t variables) {
  return (variables + 1023) / 1024 * 1024 + WgmmaShape<kKind>::kSharedBytes;
}

// A place in the ring; moves on stage by stage over all tiles.
template <std::uint32_t kKind>
struct RingCursor {
  using Shape = WgmmaShape<kKind>;
  std::uint32_t base = 0;  // address of stage 0
  std::uint32_t stage = 0;
  std::uint32_t parity = 0;

  [[nodiscard]] __device__ std::uint32_t columns() const {
    return base + stage * Shape::kStageTiles * Shape::kColumnsBytes;
  }
  [[nodiscard]] __device__ std::uint32_t weights() const {
    return base + Shape::kWeightsOffset + stage * Shape::kWeightsBytes;
  }
  [[nodiscard]] __device__ std::uint32_t full() const { return base + Shape::kBarriersOffset + 8 * stage; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8 * Shape::kStages; }
  [[nodiscard]] __device__ bool is_full() const { return test_barrier(full(), parity); }
  __device__ void wait_full() const { wait_barrier(full(), parity); }
  __device__ void wait_empty() const { wait_barrier(empty(), parity ^ 1); }  // the first time round it is
  __device__ void advance() {
    if (++stage == Shape::kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// By one thread, before the block synchronises. `num_copies`: arrivals that fill a stage.
template <std::uint32_t kKind>
__device__ __forceinline__ void init_ring(std::uint32_t base, std::uint32_t num_copies) {
  using Shape = WgmmaShape<kKind>;
  for (std::uint32_t stage = 0; stage < Shape::kStages; ++stage) {
    init_barrier(base + Shape::kBarriersOffset + 8 * stage, num_copies);
    init_barrier(base + Shape::kBarriersOffset + 8 * (Shape::kStages + stage), Shape::kConsumerWarps);
  }
  publish_barriers();
}

}  // namespace nvfp4::kernels::cuda_sm90
