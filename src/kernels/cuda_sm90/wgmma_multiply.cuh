// The product of a warpgroup's 64 rows with the tokens of a tile: weights are decoded from the ring to the registers
// that wgmma takes as its left operand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda_shared/fragment_codes.cuh"
#include "kernels/cuda_sm90/wgmma.cuh"
#include "kernels/cuda_sm90/wgmma_ring.cuh"

namespace nvfp4::kernels::cuda_sm90 {

// A number that all lanes have, told to the compiler: it then keeps it in a register of the warp.
__device__ __forceinline__ std::uint32_t of_warp(std::uint32_t value) { return __shfl_sync(0xFFFFFFFFU, value, 0); }

__device__ __forceinline__ uint4 load_shared_16(std::uint32_t address) {
  std::uint32_t words[4];
  load_4_words(words, address);
  return {words[0], words[1], words[2], words[3]};
}

__device__ __forceinline__ uint2 load_shared_8(std::uint32_t address) {
  std::uint32_t words[2];
  load_2_words(words, address);
  return {words[0], words[1]};
}

// kSteps products, of 16 numbers of K each, for more than kLow and at most kHigh columns. The number of columns is
// chosen here, in the innermost loop, as far as consume_tile() has not chosen it.
template <std::uint32_t kLow, std::uint32_t kHigh, std::uint32_t kGranule, std::size_t kSums, std::uint32_t kSteps>
__device__ __forceinline__ void start_products(float (&sums)[kSums], const std::uint32_t (&fragments)[kSteps][4],
                                               std::uint32_t columns, std::uint32_t num_columns) {
  if constexpr (kHigh - kLow > kGranule) {
    // The largest four first: they are the common ones where many columns are common.
    constexpr std::uint32_t kMiddle =
        kHigh - kLow > 4 * kGranule ? kHigh - 4 * kGranule : (kLow + kHigh) / (2 * kGranule) * kGranule;
    if (num_columns > kMiddle) {
      start_products<kMiddle, kHigh, kGranule>(sums, fragments, columns, num_columns);
    } else {
      start_products<kLow, kMiddle, kGranule>(sums, fragments, columns, num_columns);
    }
  } else {
    begin_products();
#pragma unroll
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      start_product<kHigh>(sums, fragments[step], columns + step * kNextRows);
    }
    commit_products();
  }
}

// A stage is not read any more.
__device__ __forceinline__ void release(std::uint32_t empty) {
  if (threadIdx.x % 32 == 0) arrive(empty);
}

// A warpgroup's products, 64 numbers of K at a time. What a step needs is read from the ring in the step before, while
// that one's products are still to start.
template <bool kThreadCopies, std::uint32_t kKind, std::uint32_t kLow, std::uint32_t kHigh>
class RowProducts {
 public:
  using Shape = WgmmaShape<kKind>;

  // Reads what the first step needs.
  __device__ __forceinline__ RowProducts(RingCursor<kKind>& ring, std::uint32_t num_columns, std::uint32_t sixteen)
      : ring_(ring), num_columns_(num_columns), sixteen_(sixteen) {
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t own = (threadIdx.x - kCopyThreads) / 32 * Shape::kGroupBytes;
    own_scales_ = own + lane / 4 * 8;
    own_codes_ = own + static_cast<std::uint32_t>(Fragment16x64::kCodesOffset) + lane * 16;
    pin(own_scales_);  // computed once
    pin(own_codes_);
    ring.wait_full();
    if constexpr (kThreadCopies) publish_to_async_proxy();
    read(ring, 0);
  }

  // kHalf: which tile of its stage the step is. Moves the ring on after the last of a stage, and after the last step.
  template <std::uint32_t kHalf>
  __device__ __forceinline__ void step(float (&sums)[kHigh / 2], std::uint32_t (&fragments)[4][4], bool is_last) {
    Following following = look_ahead<kHalf>();
    std::uint32_t scales_g[2];
    std::uint32_t scales_g8[2];
    decode_scales(scales_g, scales_g8);
    decode_two_blocks<false>(codes_.x, codes_.y, scales_g, scales_g8, fragments[0], fragments[1]);
    decode_two_blocks<true>(codes_.z, codes_.w, scales_g, scales_g8, fragments[2], fragments[3]);
    read_ahead<kHalf>(following, is_last);
    start_products<kLow, kHigh, Shape::kGranule>(sums, fragments, following.columns, num_columns_);
    move_on<kHalf>(following, is_last);
  }

  // The same in two groups of products: while one of them runs, the registers of the other are written. `done`: a stage
  // to let go as soon as the products before have ended, or 0.
  template <std::uint32_t kHalf>
  __device__ __forceinline__ void step_in_halves(float (&sums)[kHigh / 2], std::uint32_t (&low)[2][4],
                                                 std::uint32_t (&high)[2][4], bool is_last, std::uint32_t done) {
    Following following = look_ahead<kHalf>();
    std::uint32_t scales_g[2];
    std::uint32_t scales_g8[2];
    decode_scales(scales_g, scales_g8);
    decode_two_blocks<false>(codes_.x, codes_.y, scales_g, scales_g8, low[0], low[1]);
    start_products<kLow, kHigh, Shape::kGranule>(sums, low, following.columns, num_columns_);
    wait_products<1>();
    if (done != 0) release(done);
    decode_two_blocks<true>(codes_.z, codes_.w, scales_g, scales_g8, high[0], high[1]);
    read_ahead<kHalf>(following, is_last);
    start_products<kLow, kHigh, Shape::kGranule>(sums, high, following.columns + 2 * kNextRows, num_columns_);
    wait_products<1>();
    move_on<kHalf>(following, is_last);
  }

 private:
  __device__ __forceinline__ void read(const RingCursor<kKind>& from, std::uint32_t half) {
    const std::uint32_t weights = from.weights() + half * kWeightTileBytes;
    codes_ = load_shared_16(weights + own_codes_);
    scales_ = load_shared_8(weights + own_scales_);
  }
  __device__ __forceinline__ void decode_scales(std::uint32_t (&scales_g)[2], std::uint32_t (&scales_g8)[2]) const {
    decode_row_scales(scales_.x, sixteen_, scales_g);
    decode_row_scales(scales_.y, sixteen_, scales_g8);
  }

  // Where the step after this one is, and this one's columns.
  struct Following {
    RingCursor<kKind> ring;
    bool is_full;
    std::uint32_t columns;
  };
  template <std::uint32_t kHalf>
  static constexpr bool kEndsStage = kHalf + 1 == Shape::kStageTiles;
  template <std::uint32_t kHalf>
  [[nodiscard]] __device__ __forceinline__ Following look_ahead() const {
    Following following{ring_, true, of_warp(shared_columns(ring_.columns() + kHalf * Shape::kColumnsBytes))};
    if constexpr (kEndsStage<kHalf>) {
      following.ring.advance();
      following.is_full = following.ring.is_full();
    }
    return following;
  }
  template <std::uint32_t kHalf>
  __device__ __forceinline__ void read_ahead(const Following& following, bool is_last) {
    if (is_last) return;
    if (!following.is_full) following.ring.wait_full();
    read(following.ring, kEndsStage<kHalf> ? 0 : kHalf + 1);
  }
  template <std::uint32_t kHalf>
  __device__ __forceinline__ void move_on(Following& following, bool is_last) {
    if constexpr (kThreadCopies && kEndsStage<kHalf>) {
      if (!is_last) publish_to_async_proxy();
    }
    if constexpr (!kEndsStage<kHalf>) {
      if (is_last) following.ring.advance();
    }
    ring_ = following.ring;
  }

  RingCursor<kKind>& ring_;
  std::uint32_t num_columns_;
  std::uint32_t own_codes_;
  std::uint32_t own_scales_;
  std::uint32_t sixteen_;
  uint4 codes_;
  uint2 scales_;
};

// sums[64 rows of the warpgroup][num_columns, in (kLow, kHigh]] += its rows of the tile times the activations, over
// `k_tiles` tiles of 64.
// One buffer of decoded weights: a warpgroup decodes while others multiply. Two, or two halves: while its own products
// run, too.
template <bool kThreadCopies, std::uint32_t kLow, std::uint32_t kHigh, std::uint32_t kKind>
__device__ __forceinline__ void multiply_tile(float (&sums)[kHigh / 2], RingCursor<kKind>& ring, std::uint32_t k_tiles,
                                              std::uint32_t num_columns, std::uint32_t sixteen) {
  using Shape = WgmmaShape<kKind>;
  RowProducts<kThreadCopies, kKind, kLow, kHigh> rows(ring, num_columns, sixteen);
  // Decoded weights, until the last products have ended.
  [[maybe_unused]] std::uint32_t first[4][4], second[4][4];
  [[maybe_unused]] std::uint32_t low[2][4], high[2][4];
  std::uint32_t done;  // the stage that products still read
  if constexpr (Shape::kHalfBuffers) {
    constexpr std::uint32_t kOther = Shape::kStageTiles - 1;
    done = 0;
    for (std::uint32_t left = k_tiles;; left -= 2) {
      const std::uint32_t stage = ring.empty();
      rows.template step_in_halves<0>(sums, low, high, left == 1, done);
      done = stage;
      if (left == 1) break;
      rows.template step_in_halves<kOther>(sums, low, high, left == 2, 0);
      if (left == 2) break;
    }
  } else if constexpr (Shape::kBuffers == 1) {
    for (std::uint32_t left = k_tiles;; --left) {
      done = ring.empty();
      rows.template step<0>(sums, first, left == 1);
      if (left == 1) break;
      wait_products<0>();
      release(done);
    }
  } else {
    constexpr std::uint32_t kOther = Shape::kStageTiles - 1;
    done = ring.empty();
    for (std::uint32_t left = k_tiles;; left -= 2) {
      std::uint32_t stage = ring.empty();
      rows.template step<0>(sums, first, left == 1);
      wait_products<1>();
      if (left < k_tiles) release(done);
      done = stage;
      if (left == 1) break;
      stage = ring.empty();
      rows.template step<kOther>(sums, second, left == 2);
      wait_products<1>();
      if constexpr (kOther == 0) release(done);
      done = stage;
      if (left == 2) break;
    }
  }
  wait_products<0>();
  release(done);
}

// A warpgroup without rows in the tile lets its stages go.
template <std::uint32_t kKind>
__device__ __forceinline__ void skip_tile(RingCursor<kKind>& ring, std::uint32_t k_tiles) {
  for (std::uint32_t k_tile = 0; k_tile < k_tiles; k_tile += WgmmaShape<kKind>::kStageTiles) {
    ring.wait_full();
    __syncwarp();
    release(ring.empty());
    ring.advance();
  }
}

}  // namespace nvfp4::kernels::cuda_sm90
