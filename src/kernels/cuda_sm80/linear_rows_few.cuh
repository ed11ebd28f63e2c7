// Few tokens: the warps of a block share K of its rows, a chunk of 64 bytes of every row each in turn. A warp copies
// what it multiplies itself, some stages ahead, into places of its own: no warp waits for another. Each sum runs over a
// warp's chunks in ascending order, then over the warps. Bound: memory.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_sm80/linear_rows_output.cuh"
#include "kernels/cuda_sm80/linear_rows_shapes.h"
#include "kernels/cuda_sm80/linear_rows_weight.cuh"

namespace nvfp4::kernels::cuda_sm80 {

template <class Weight, std::uint32_t kGroups, std::uint32_t kColumns>
class FewTokensLane {
 public:
  static constexpr FewShape kShape{kGroups, kColumns};
  static constexpr std::uint32_t kLaneK = 16 / Weight::kBytes;  // numbers of K of a lane and a stage
  static constexpr std::uint32_t kChunkK = 4 * kLaneK;
  static constexpr std::uint32_t kXPieces = 2 / Weight::kBytes;  // of a token
  static constexpr std::uint32_t kPieceBytes = 16 * FewShape::kThreads;
  static constexpr std::uint32_t kStages = kShape.stages();
  static constexpr std::uint32_t kStageBytes = kShape.pieces(Weight::kBytes) * kPieceBytes;

  __device__ __forceinline__ FewTokensLane(const RowsCall& call, std::uint8_t* ring)
      : ring_(ring + 16 * threadIdx.x), in_features_(call.in_features) {
    const std::uint32_t g = threadIdx.x % 32 / 4;
    k_ = threadIdx.x / 32 * kChunkK + threadIdx.x % 4 * kLaneK;
    const RowsOutput& output = call.output;
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kGroups; ++i) {
      const std::uint32_t row = min(blockIdx.x * kShape.rows() + 8 * i + g, output.num_features - 1);
      rows_[i] = call.weights + std::size_t{row} * call.in_features * Weight::kBytes;
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kColumns; ++i) {
      has_token_[i] = 8 * i + g < output.num_tokens;
      tokens_[i] = call.x + std::size_t{has_token_[i] ? 8 * i + g : 0} * call.in_features;
    }
  }

  // Chunk `chunk` of this warp.
  __device__ __forceinline__ void copy_weights(std::uint32_t stage, std::uint32_t chunk) const {
    const std::uint32_t k = place_of(chunk);
    const std::uint32_t to = shared_address(ring_ + stage * kStageBytes);
#pragma unroll
    for (std::uint32_t i = 0; i < 2 * kGroups; ++i) {
      copy_16_bytes(to + i * kPieceBytes, rows_[i] + std::size_t{k} * Weight::kBytes, k < in_features_ ? 16 : 0);
    }
  }
  // A quad copies 64 neighbouring bytes at a time. Where they are 8 bytes of every lane's numbers only, they go to the
  // lanes whose numbers they are.
  __device__ __forceinline__ void copy_x(std::uint32_t stage, std::uint32_t chunk) const {
    const std::uint32_t t = threadIdx.x % 4;
    const std::uint32_t chunk_k = place_of(chunk) - t * kLaneK;
    const std::uint32_t to = shared_address(ring_ + stage * kStageBytes) - 16 * t;
#pragma unroll
    for (std::uint32_t i = 0; i < kColumns * kXPieces; ++i) {
      const std::uint32_t place = i % kXPieces * 4 + t;  // of 16 bytes in the chunk
      const std::uint32_t k = chunk_k + place * 8;
      const bool exists = has_token_[i / kXPieces] && k < in_features_;
      const std::uint32_t piece = 2 * kGroups + i / kXPieces * kXPieces + place % kXPieces;
      copy_16_bytes(to + piece * kPieceBytes + x_lane(place / kXPieces, place % kXPieces) * 16,
                    tokens_[i / kXPieces] + k, exists ? 16 : 0);
    }
  }

  __device__ __forceinline__ void multiply(std::uint32_t stage) {
    constexpr std::uint32_t kSteps = kLaneK / 4;
    constexpr std::uint32_t kRowWords = Weight::kWords / 2;  // of a step
    const std::uint8_t* const from = ring_ + stage * kStageBytes;
    std::uint32_t x[kColumns][4 * kXPieces];
#pragma unroll
    for (std::uint32_t i = 0; i < kColumns * kXPieces; ++i) {
      std::uint32_t* const words = &x[i / kXPieces][i % kXPieces * 4];
      const std::uint32_t t = threadIdx.x % 4;
      load(from - 16 * t + (2 * kGroups + i) * kPieceBytes + x_lane(t, i % kXPieces) * 16, words);
      Weight::spread(words[0], words[1]);
      Weight::spread(words[2], words[3]);
    }
#pragma unroll
    for (std::uint32_t group = 0; group < kGroups; ++group) {
      std::uint32_t rows[2][4];
      load(from + 2 * group * kPieceBytes, rows[0]);
      load(from + (2 * group + 1) * kPieceBytes, rows[1]);
#pragma unroll
      for (std::uint32_t step = 0; step < kSteps; ++step) {
        std::uint32_t words[Weight::kWords];
#pragma unroll
        for (std::uint32_t i = 0; i < Weight::kWords; ++i) words[i] = rows[i % 2][step * kRowWords + i / 2];
        std::uint32_t a[4];
        Weight::decode_spread(words, nans_[group], a);
#pragma unroll
        for (std::uint32_t column = 0; column < kColumns; ++column) {
          mma_m16n8k16(sums_[group][column], a, x[column][2 * step], x[column][2 * step + 1]);
        }
      }
    }
  }

  // [warp][group, column][4][lane]
  __device__ __forceinline__ void store_sums(float* parts) {
    float* const to = parts + threadIdx.x / 32 * (kGroups * kColumns * 128) + threadIdx.x % 32;
#pragma unroll
    for (std::uint32_t group = 0; group < kGroups; ++group) {
      nans_[group].gather();
#pragma unroll
      for (std::uint32_t column = 0; column < kColumns; ++column) {
        nans_[group].apply(sums_[group][column]);
#pragma unroll
        for (std::uint32_t i = 0; i < 4; ++i) to[((group * kColumns + column) * 4 + i) * 32] = sums_[group][column][i];
      }
    }
  }

 private:
  [[nodiscard]] __device__ __forceinline__ std::uint32_t place_of(std::uint32_t chunk) const {
    return k_ + chunk * (FewShape::kWarps * kChunkK);
  }
  // Where in its quad piece `piece` of lane t lies: apart from piece 0, which is written at the same time.
  __device__ __forceinline__ static std::uint32_t x_lane(std::uint32_t t, std::uint32_t piece) {
    return t ^ (piece * 2);
  }
  __device__ __forceinline__ static void load(const std::uint8_t* from, std::uint32_t* words) {
    const uint4 loaded = *reinterpret_cast<const uint4*>(from);
    words[0] = loaded.x, words[1] = loaded.y, words[2] = loaded.z, words[3] = loaded.w;
  }

  std::uint8_t* ring_;  // this lane's place in every piece
  std::uint32_t in_features_;
  std::uint32_t k_;
  const std::uint8_t* rows_[2 * kGroups];
  const Bf16Bits* tokens_[kColumns];
  bool has_token_[kColumns];
  typename Weight::Nans nans_[kGroups];
  float sums_[kGroups][kColumns][4] = {};
};

// The parts of the warps, added up in their order.
template <std::uint32_t kGroups, std::uint32_t kColumns>
__device__ __forceinline__ void put_sums(const RowsOutput& output, const float* parts) {
  constexpr FewShape kShape{kGroups, kColumns};
  for (std::uint32_t i = threadIdx.x; i < kShape.rows() * kShape.tokens(); i += FewShape::kThreads) {
    const std::uint32_t row = i % kShape.rows();
    const std::uint32_t token = i / kShape.rows();
    if (token >= output.num_tokens) return;
    const std::uint32_t lane = row % 8 * 4 + token % 8 / 2;
    const std::uint32_t place = row / 16 * kColumns + token / 8;
    const float* const from = parts + (place * 4 + row % 16 / 8 * 2 + token % 2) * 32 + lane;
    float sum = 0.0F;
#pragma unroll
    for (std::uint32_t warp = 0; warp < FewShape::kWarps; ++warp) sum += from[warp * kGroups * kColumns * 128];
    const std::uint32_t feature = blockIdx.x * kShape.rows() + row;
    put(output, feature, token,
        finish_sum(sum, scale_of_row(output, feature), factor_of_token(output, token), bias_of_row(output, feature)));
  }
}

template <class Weight, std::uint32_t kGroups, std::uint32_t kColumns>
__global__ void __launch_bounds__(FewShape::kThreads, kGroups == 1 ? 4 : 2) linear_rows_few(const RowsCall call) {
  using Lane = FewTokensLane<Weight, kGroups, kColumns>;
  constexpr std::uint32_t kAhead = Lane::kStages - 1;
  std::uint8_t* const linear_rows_shared = dynamic_shared();
  let_next_kernel_start();
  Lane lane(call, linear_rows_shared);
  constexpr std::uint32_t kRoundK = Lane::kChunkK * FewShape::kWarps;
  const std::uint32_t num_chunks = (call.in_features + kRoundK - 1) / kRoundK;
#pragma unroll
  for (std::uint32_t chunk = 0; chunk < kAhead; ++chunk) lane.copy_weights(chunk, chunk);
  wait_for_earlier_kernels();
#pragma unroll
  for (std::uint32_t chunk = 0; chunk < kAhead; ++chunk) {
    lane.copy_x(chunk, chunk);
    end_copies();
  }
  for (std::uint32_t chunk = 0; chunk < num_chunks; ++chunk) {
    wait_for_copies<kAhead - 1>();
    __syncwarp();
    lane.multiply(chunk % Lane::kStages);
    const std::uint32_t next = chunk + kAhead;
    lane.copy_weights(next % Lane::kStages, next);
    lane.copy_x(next % Lane::kStages, next);
    end_copies();
  }
  wait_for_copies<0>();
  __syncthreads();  // the sums go where others may still read
  auto* const parts = reinterpret_cast<float*>(linear_rows_shared);
  lane.store_sums(parts);
  __syncthreads();
  put_sums<kGroups, kColumns>(call.output, parts);
}

}  // namespace nvfp4::kernels::cuda_sm80
