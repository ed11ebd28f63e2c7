// Many tokens: a block multiplies tiles of rows by tiles of tokens, all of K or a part of it, in steps of 64 numbers
// that are copied some stages ahead. Sums run over K in ascending order; parts of K are added in ascending order too,
// by the block of a tile that ends last. Bound: the tensor cores, or memory below about 100 tokens.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_sm80/linear_rows_output.cuh"
#include "kernels/cuda_sm80/linear_rows_shapes.h"
#include "kernels/cuda_sm80/linear_rows_weight.cuh"
#include "kernels/cuda_sm80/split_sums.cuh"

namespace nvfp4::kernels::cuda_sm80 {

// How a warp finds its fragments in staged rows. Pieces of 16 bytes are exchanged within a row, so that neither writing
// rows nor reading fragments meets a bank twice: piece p lies at p ^ exchange(row). A lane's place in a later step of
// 16 numbers of K is that in the first ^ step * kWeightStep, or kXStep.
template <class Weight>
struct StagedFragments;

template <>
struct StagedFragments<Bf16Weight> {
  static constexpr std::uint32_t kWeightStep = 32;
  static constexpr std::uint32_t kXStep = 32;
  __device__ __forceinline__ static std::uint32_t weight_exchange(std::uint32_t row) { return row % 8; }
  __device__ __forceinline__ static std::uint32_t x_exchange(std::uint32_t row) { return row % 8; }

  // Where this lane's part of 16 rows and of two times 8 tokens begins.
  __device__ __forceinline__ static std::uint32_t weight_place(std::uint32_t lane) {
    return lane % 16 * 128 + ((lane / 16) ^ (lane % 8)) * 16;
  }
  __device__ __forceinline__ static std::uint32_t x_place(std::uint32_t lane) {
    return (lane / 16 * 8 + lane % 8) * 128 + ((lane / 8 % 2) ^ (lane % 8)) * 16;
  }
  __device__ __forceinline__ static void load_weights(std::uint32_t* words, std::uint32_t address) {
    load_4_matrices(words, address);
  }
  __device__ __forceinline__ static void load_x(std::uint32_t (*words)[2], std::uint32_t address) {
    load_4_matrices(words[0], address);
  }
};

template <>
struct StagedFragments<Fp8Weight> {
  static constexpr std::uint32_t kWeightStep = 16;
  static constexpr std::uint32_t kXStep = 32;
  __device__ __forceinline__ static std::uint32_t weight_exchange(std::uint32_t row) { return row / 2 % 4; }
  __device__ __forceinline__ static std::uint32_t x_exchange(std::uint32_t row) { return row % 4 * 2; }

  __device__ __forceinline__ static std::uint32_t weight_place(std::uint32_t lane) {
    return lane % 16 * 64 + lane % 16 / 2 % 4 * 16;
  }
  // Columns 4t to 4t + 3, as decode() has them.
  __device__ __forceinline__ static std::uint32_t x_place(std::uint32_t lane) {
    return lane / 4 * 128 + ((lane % 4 / 2) ^ x_exchange(lane / 4)) * 16 + lane % 2 * 8;
  }
  __device__ __forceinline__ static void load_weights(std::uint32_t* words, std::uint32_t address) {
    load_2_matrices(words, address);
  }
  __device__ __forceinline__ static void load_x(std::uint32_t (*words)[2], std::uint32_t address) {
    load_2_words(words[0], address);
    load_2_words(words[1], address + 8 * 128);
  }
};

// Copies rows from first_row on, those beyond num_rows being the last one; numbers from k on, beyond in_features 0.
template <std::uint32_t kRows, std::uint32_t kBytes, std::uint32_t kThreads, class Exchange>
__device__ __forceinline__ void copy_rows(std::uint32_t to, const std::uint8_t* matrix, std::uint32_t first_row,
                                          std::uint32_t num_rows, std::uint32_t in_features, std::uint32_t k,
                                          Exchange exchange) {
  constexpr std::uint32_t kRowBytes = kManyStepK * kBytes;
  constexpr std::uint32_t kPieces = kRowBytes / 16;
  constexpr std::uint32_t kRowsAtOnce = kThreads / kPieces;
  const std::uint32_t row = threadIdx.x / kPieces;
  const std::uint32_t piece = threadIdx.x % kPieces;
  const std::size_t row_bytes = std::size_t{in_features} * kBytes;
  const std::uint8_t* const from = matrix + std::size_t{k} * kBytes + piece * 16;
  const std::uint32_t num_bytes = k * kBytes + piece * 16 < row_bytes ? 16 : 0;
  to += row * kRowBytes + (piece ^ exchange(row)) * 16;
#pragma unroll
  for (std::uint32_t i = 0; i < kRows; i += kRowsAtOnce) {  // kRowsAtOnce is a multiple of 8: the same exchange
    copy_16_bytes(to + i * kRowBytes, from + min(first_row + row + i, num_rows - 1) * row_bytes, num_bytes);
  }
}

template <class Weight, std::uint32_t kShapeIdx>
class ManyTokensTile {
 public:
  static constexpr ManyShape kShape = kManyShapes[kShapeIdx];
  static constexpr std::uint32_t kStageBytes = kShape.stage_bytes(Weight::kBytes);

  __device__ __forceinline__ ManyTokensTile(const RowsCall& call, const TilePlace& place)
      : call_(call), first_row_(place.row_tile * kShape.rows), first_token_(place.token_tile * kShape.tokens) {
    weights_at_ = warp_row() * kWeightRowBytes + Staged::weight_place(threadIdx.x % 32);
    x_at_ = kWeightBytes + warp_token() * kXRowBytes + Staged::x_place(threadIdx.x % 32);
  }

  // Stages are at addresses of shared memory, multiples of 128.
  __device__ __forceinline__ void copy_weights(std::uint32_t stage, std::uint32_t step) const {
    copy_rows<kShape.rows, Weight::kBytes, kShape.threads()>(stage, call_.weights, first_row_,
                                                             call_.output.num_features, call_.in_features,
                                                             step * kManyStepK, Staged::weight_exchange);
  }
  __device__ __forceinline__ void copy_x(std::uint32_t stage, std::uint32_t step) const {
    copy_rows<kShape.tokens, sizeof(Bf16Bits), kShape.threads()>(
        stage + kWeightBytes, reinterpret_cast<const std::uint8_t*>(call_.x), first_token_, call_.output.num_tokens,
        call_.in_features, step * kManyStepK, Staged::x_exchange);
  }

  // Fragments are loaded one step ahead: the first ones of a stage by the call for the stage before. `next_is_there`
  // waits until the next stage has landed, or says that there is none.
  __device__ __forceinline__ void load_first(std::uint32_t stage) { load(fragments_[0], stage, 0); }
  template <class NextIsThere>
  __device__ __forceinline__ void multiply(std::uint32_t stage, std::uint32_t next_stage, NextIsThere next_is_there) {
    constexpr std::uint32_t kSteps = kManyStepK / 16;
    static_assert(kSteps % 2 == 0);
#pragma unroll
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) {
        load(fragments_[(step + 1) % 2], stage, step + 1);
      } else if (next_is_there()) {
        load(fragments_[0], next_stage, 0);
      }
      add_products(fragments_[step % 2]);
    }
  }

  __device__ __forceinline__ void end_sums() {
#pragma unroll
    for (std::uint32_t row = 0; row < kRowTiles; ++row) {
      nans_[row].gather();
#pragma unroll
      for (std::uint32_t i = 0; i < kTokenTiles; ++i) nans_[row].apply(sums_[row][i]);
    }
  }

  // The last block of a tile has the sums of all afterwards: true for it.
  __device__ __forceinline__ bool gather_parts(const RowsGrid& grid, const TileSteps& steps,
                                               volatile std::uint32_t* shared) {
    return SplitSums<kShape.threads(), kRowTiles, kTokenTiles>::gather(grid, steps, shared, sums_);
  }

  __device__ __forceinline__ void put_sums(const TilePlace& place) const {
    const std::uint32_t first_token = place.token_tile * kShape.tokens + warp_token();
#pragma unroll
    for (std::uint32_t row = 0; row < kRowTiles; ++row) {
      const std::uint32_t first_row = place.row_tile * kShape.rows + warp_row() + 16 * row;
      const RowTerms terms(call_.output, first_row);
#pragma unroll
      for (std::uint32_t i = 0; i < kTokenTiles; ++i) {
        put_product(call_.output, terms, first_row, first_token + 8 * i, sums_[row][i]);
      }
    }
  }

 private:
  using Staged = StagedFragments<Weight>;
  static constexpr std::uint32_t kRowWarps = kShape.row_warps(Weight::kBytes);
  static constexpr std::uint32_t kRowTiles = kShape.rows / kRowWarps / 16;
  static constexpr std::uint32_t kTokenTiles = kShape.tokens / kShape.token_warps(Weight::kBytes) / 8;
  static constexpr std::uint32_t kWeightRowBytes = kManyStepK * Weight::kBytes;
  static constexpr std::uint32_t kXRowBytes = kManyStepK * sizeof(Bf16Bits);
  static constexpr std::uint32_t kWeightBytes = kShape.rows * kWeightRowBytes;

  // Of this warp, in the tile.
  __device__ __forceinline__ static std::uint32_t warp_row() { return threadIdx.x / 32 % kRowWarps * (16 * kRowTiles); }
  __device__ __forceinline__ static std::uint32_t warp_token() {
    return threadIdx.x / 32 / kRowWarps * (8 * kTokenTiles);
  }

  struct Fragments {
    std::uint32_t weights[kRowTiles][Weight::kWords];
    std::uint32_t x[kTokenTiles][2];
  };
  __device__ __forceinline__ void load(Fragments& to, std::uint32_t stage, std::uint32_t step) const {
    const std::uint32_t x = (stage + x_at_) ^ step * Staged::kXStep;
    const std::uint32_t weights = (stage + weights_at_) ^ step * Staged::kWeightStep;
#pragma unroll
    for (std::uint32_t i = 0; i < kTokenTiles; i += 2) Staged::load_x(&to.x[i], x + i * 8 * kXRowBytes);
#pragma unroll
    for (std::uint32_t i = 0; i < kRowTiles; ++i)
      Staged::load_weights(to.weights[i], weights + i * 16 * kWeightRowBytes);
  }
  __device__ __forceinline__ void add_products(const Fragments& fragments) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRowTiles; ++row) {
      std::uint32_t a[4];
      Weight::decode(fragments.weights[row], nans_[row], a);
#pragma unroll
      for (std::uint32_t i = 0; i < kTokenTiles; ++i) {
        mma_m16n8k16(sums_[row][i], a, fragments.x[i][0], fragments.x[i][1]);
      }
    }
  }

  const RowsCall& call_;
  std::uint32_t first_row_, first_token_;
  std::uint32_t weights_at_, x_at_;  // of this lane, in a stage
  Fragments fragments_[2];
  typename Weight::Nans nans_[kRowTiles];
  float sums_[kRowTiles][kTokenTiles][4] = {};
};

// Sums of a tile over some steps.
template <class Tile>
__device__ __forceinline__ void multiply_steps(Tile& tile, const TileSteps& steps, std::uint32_t stages) {
  constexpr std::uint32_t kStages = Tile::kShape.stages;
  const std::uint32_t num_steps = steps.end - steps.begin;
  const auto stage_of = [&](std::uint32_t step) { return stages + step % kStages * Tile::kStageBytes; };
#pragma unroll
  for (std::uint32_t step = 0; step < kStages - 1; ++step) {
    if (step < num_steps) tile.copy_weights(stage_of(step), steps.begin + step);
  }
  wait_for_earlier_kernels();
#pragma unroll
  for (std::uint32_t step = 0; step < kStages - 1; ++step) {
    if (step < num_steps) tile.copy_x(stage_of(step), steps.begin + step);
    end_copies();
  }
  const auto landed = [] {
    wait_for_copies<kStages - 2>();
    __syncthreads();
    return true;
  };
  landed();
  tile.load_first(stage_of(0));
  for (std::uint32_t step = 0; step < num_steps; ++step) {
    const std::uint32_t next = step + kStages - 1;
    if (next < num_steps) {  // to where all have read everything
      tile.copy_weights(stage_of(next), steps.begin + next);
      tile.copy_x(stage_of(next), steps.begin + next);
    }
    end_copies();
    tile.multiply(stage_of(step), stage_of(step + 1), [&] { return step + 1 < num_steps && landed(); });
  }
  tile.end_sums();
}

// In shared memory: registers do not suffice for it.
struct KeptSteps {
  TileSteps steps;
  std::uint32_t word;
};

template <class Weight, std::uint32_t kShapeIdx>
__global__ void __launch_bounds__(kManyShapes[kShapeIdx].threads())
    linear_rows_many(const __grid_constant__ RowsCall call, const __grid_constant__ RowsGrid grid) {
  using Tile = ManyTokensTile<Weight, kShapeIdx>;
  std::uint8_t* const shared = dynamic_shared();
  auto* const kept = reinterpret_cast<KeptSteps*>(shared + Tile::kShape.kept_at(Weight::kBytes));
  let_next_kernel_start();
  std::uint32_t step = BlockSteps(grid).first_of(blockIdx.x);
#pragma unroll 1
  while (true) {
    const TileSteps steps(grid, step);
    if (threadIdx.x == 0) kept->steps = steps;
    const TilePlace place(grid, steps.tile);
    Tile tile(call, place);
    multiply_steps(tile, steps, shared_address(shared));
    bool has_all = true;
    if (!kept->steps.are_all()) has_all = tile.gather_parts(grid, kept->steps, &kept->word);
    if (has_all) tile.put_sums(TilePlace(grid, kept->steps.tile));
    step = kept->steps.behind(grid);
    if (step == BlockSteps(grid).first_of(blockIdx.x + 1)) return;
    __syncthreads();  // what is shared is free
  }
}

}  // namespace nvfp4::kernels::cuda_sm80
