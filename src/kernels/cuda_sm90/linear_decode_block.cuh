// What a block of the kernels for few tokens does: linear_decode_pipe.h says how it is divided, a Sink what becomes of
// the sums.
//
//   sums[m, n] = 2^-8 sum_k matrix_e(m)[n, k] * rows[m / divisor, k]     m: a pair, or a row of one matrix
//   factor[m] = factors[m / divisor] * pair_factors[m]
//
// Every warp has copies of its own under way: of weights before the kernels ahead have ended, and goes from item to
// item without waiting for others, except those that share an item. Bound: memory, each weight is read once for 8
// tokens.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm90/linear_decode_pipe.h"
#include "kernels/cuda_sm90/linear_decode_tiles.cuh"
#include "kernels/cuda_sm90/moe_decode_chunks.cuh"

namespace nvfp4::kernels::cuda_sm90 {

struct DecodeMatrices {
  const std::uint8_t* data = nullptr;  // [experts][row_groups][num_tiles][576]
  std::uint32_t row_groups = 0;
  std::uint32_t num_tiles = 0;
  std::uint32_t num_cols = 0;  // K, a multiple of 16
};

struct DecodeRows {
  const Bf16Bits* values = nullptr;  // [count, K]
  const float* factors = nullptr;    // [count] or null: 1
  std::uint32_t count = 0;
  std::uint32_t divisor = 1;            // pairs of a row
  const float* pair_factors = nullptr;  // [pairs] or null: 1
};

struct DecodeCall {
  DecodePipe pipe;
  DecodeMatrices matrices;
  DecodeRows rows;
  DecodePairs pairs;
  std::uint32_t sixteen = 16;  // see decode_row_scales()
};

// The tokens whose sums a lane has: columns 2t and 2t + 1 of each eight. Rows are g and g + 8.
template <std::uint32_t kColumns>
struct SumColumns {
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  std::uint32_t member[kColumns][2];
  float factor[kColumns][2];
};

__device__ __forceinline__ float sum_of_row_g(const float4& total, std::uint32_t h) {
  return h == 0 ? total.x : total.y;
}
__device__ __forceinline__ float sum_of_row_g8(const float4& total, std::uint32_t h) {
  return h == 0 ? total.z : total.w;
}

// Calls store(member, factor, row g's sum, row g + 8's) for the lane's tokens.
template <std::uint32_t kColumns, class Store>
__device__ __forceinline__ void for_each_sum(const SumColumns<kColumns>& columns, const float4 (&totals)[kColumns],
                                             Store&& store) {
#pragma unroll
  for (std::uint32_t n = 0; n < kColumns; ++n) {
#pragma unroll
    for (std::uint32_t h = 0; h < 2; ++h) {
      if (columns.member[n][h] == SumColumns<kColumns>::kNone) continue;
      store(columns.member[n][h], columns.factor[n][h], sum_of_row_g(totals[n], h), sum_of_row_g8(totals[n], h));
    }
  }
}

// Item i of a block. kOneRowGroup: row group blockIdx.x of chunk i. Else: the block's part of all row groups of chunk
// 0, then of chunk 1, ...
template <bool kOneRowGroup>
struct DecodeItems {
  std::uint32_t row_groups, first, count, first_chunk, last_chunk;

  __device__ __forceinline__ DecodeItems(std::uint32_t num_row_groups, std::uint32_t num_chunks)
      : row_groups(num_row_groups) {
    if constexpr (kOneRowGroup) {
      first = 0;
      count = num_chunks;
    } else {
      const std::uint64_t total = std::uint64_t{num_chunks} * row_groups;
      first = static_cast<std::uint32_t>(total * blockIdx.x / gridDim.x);
      count = static_cast<std::uint32_t>(total * (blockIdx.x + 1) / gridDim.x) - first;
    }
    first_chunk = kOneRowGroup ? 0 : first / row_groups;
    last_chunk = count == 0 ? first_chunk : kOneRowGroup ? count - 1 : (first + count - 1) / row_groups;
  }

  struct Cursor {
    std::uint32_t chunk, row_group;
  };
  __device__ __forceinline__ Cursor begin(std::uint32_t index) const {
    if constexpr (kOneRowGroup) return {index, blockIdx.x};
    const std::uint32_t chunk = (first + index) / row_groups;
    return {chunk, first + index - chunk * row_groups};
  }
  __device__ __forceinline__ void advance(Cursor& cursor, std::uint32_t by) const {
    if constexpr (kOneRowGroup) {
      cursor.chunk += by;
    } else {
      cursor.row_group += by;
      while (cursor.row_group >= row_groups) {
        cursor.row_group -= row_groups;
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

template <class Sink, std::uint32_t kSplit, std::uint32_t kColumns>
class DecodeBlock {
  using Items = DecodeItems<Sink::kOneRowGroup>;
  using Cursor = typename Items::Cursor;
  static constexpr std::uint32_t kSize = 8 * kColumns;
  static constexpr std::uint32_t kLanes = 0xFFFFFFFFU;

 public:
  __device__ __forceinline__ DecodeBlock(const DecodeCall& call, const Sink& sink, std::uint8_t* shared)
      : call_(call),
        pipe_(call.pipe),
        sink_(sink),
        shared_(shared),
        base_(shared_address(shared)),
        warp_(__shfl_sync(kLanes, threadIdx.x / 32, 0)),
        lane_(threadIdx.x % 32),
        first_tile_(call.matrices.num_tiles * (warp_ % kSplit) / kSplit),
        end_tile_(call.matrices.num_tiles * (warp_ % kSplit + 1) / kSplit),
        chunks_(shared + call.pipe.chunks_at, call.pairs) {}

  __device__ __forceinline__ void run() {
    init_barriers();
    clear_row_ends();
    const bool waits_first = !sink_.ids_are_early();
    if (waits_first) wait_for_earlier_kernels();
    if (waits_first && pipe_.rows_stay) copy_all_rows();
    chunks_.group();
    sink_.begin(call_, shared_ + pipe_.results_at);
    __syncthreads();
    const Items items(call_.matrices.row_groups, chunks_.num_chunks());
    if (waits_first && !pipe_.rows_stay) copy_first_rows(items);
    Asked asked{items.begin(team()), team(), first_tile_, nullptr};
    aim(items, asked);
    for (std::uint32_t slot = 0; slot < pipe_.slots; ++slot) ask(items, slot, asked);
    let_next_kernel_start();
    if (!waits_first) {
      wait_for_earlier_kernels();
      pipe_.rows_stay ? copy_all_rows() : copy_first_rows(items);
    }
    wait_for_all_copies();
    __syncthreads();
    if (threadIdx.x < pipe_.row_buffers) arrive(rows_full(threadIdx.x));  // as if they had been asked for
    if (items.count != 0) multiply(items, asked);
    sink_.end(call_, shared_ + pipe_.results_at);
  }

 private:
  // The item whose weights a warp asks for next.
  struct Asked {
    Cursor cursor;
    std::uint32_t index, tile;
    const std::uint8_t* from;
  };
  // What a warp must know of a chunk.
  struct Tokens {
    std::uint32_t rows[kColumns];  // what the lane gives load_matrices()
    SumColumns<kColumns> columns;
    typename Sink::Scales scales;
  };

  __device__ __forceinline__ std::uint32_t team() const { return warp_ / kSplit; }
  __device__ __forceinline__ std::uint32_t num_teams() const { return pipe_.num_warps / kSplit; }

  // Barriers: rows, then the slots of each warp; then two counters of the warps that left a buffer of rows.
  __device__ __forceinline__ std::uint32_t rows_full(std::uint32_t buffer) const {
    return base_ + pipe_.barriers_at + 8 * buffer;
  }
  __device__ __forceinline__ std::uint32_t slot_full(std::uint32_t slot) const {
    return rows_full(2 + warp_ * pipe_.slots + slot);
  }
  __device__ __forceinline__ std::uint32_t* num_left(std::uint32_t buffer) const {
    return reinterpret_cast<std::uint32_t*>(shared_ + pipe_.barriers_at + 8 * (2 + pipe_.num_warps * pipe_.slots)) +
           buffer;
  }
  __device__ __forceinline__ void init_barriers() const {
    if (threadIdx.x < 2) {
      init_barrier(rows_full(threadIdx.x), 1);
      *num_left(threadIdx.x) = 0;
    }
    if (lane_ < pipe_.slots) init_barrier(slot_full(lane_), 1);
    publish_barriers();
  }

  // Columns from K to whole tiles: their codes are 0, but 0 times what may be NaN is not.
  __device__ __forceinline__ void clear_row_ends() const {
    const std::uint32_t words = (call_.matrices.num_tiles * 64 - call_.matrices.num_cols) / 2;
    if (words == 0) return;
    std::uint8_t* const ends = shared_ + pipe_.rows_at + call_.matrices.num_cols * 2;
    for (std::uint32_t i = threadIdx.x; i < words * pipe_.row_buffers * pipe_.row_slots; i += blockDim.x) {
      *reinterpret_cast<std::uint32_t*>(ends + i / words * pipe_.row_stride + i % words * 4) = 0;
    }
  }

  // --- Weights.

  __device__ __forceinline__ std::uint32_t slot_at(std::uint32_t slot) const {
    return (warp_ * pipe_.slots + slot) * pipe_.piece_tiles * kTileBytes;
  }
  __device__ __forceinline__ void aim(const Items& items, Asked& asked) const {
    if (asked.index >= items.count) return;
    const DecodeMatrices& matrices = call_.matrices;
    const std::uint64_t group =
        std::uint64_t{chunks_.expert(asked.cursor.chunk)} * matrices.row_groups + asked.cursor.row_group;
    asked.from = matrices.data + (group * matrices.num_tiles + first_tile_) * kTileBytes;
  }
  __device__ __forceinline__ void ask(const Items& items, std::uint32_t slot, Asked& asked) const {
    if (asked.index >= items.count || first_tile_ == end_tile_) return;
    const std::uint32_t num = min(pipe_.piece_tiles, end_tile_ - asked.tile);
    const std::uint32_t num_bytes = num * kTileBytes;
    if (lane_ == 0) {
      arrive_expecting(slot_full(slot), num_bytes);
      copy_bulk_once(base_ + slot_at(slot), asked.from, num_bytes, slot_full(slot));
    }
    asked.from += num_bytes;
    asked.tile += num;
    if (asked.tile != end_tile_) return;
    asked.tile = first_tile_;
    asked.index += num_teams();
    items.advance(asked.cursor, num_teams());
    aim(items, asked);
  }

  // --- Rows.

  // Whose turn it is in the buffers: chunk 0, 1, ... of the block.
  __device__ __forceinline__ std::uint32_t turn_of(const Items& items, std::uint32_t chunk) const {
    return pipe_.rows_stay ? 0 : chunk - items.first_chunk;
  }
  __device__ __forceinline__ std::uint32_t buffer_of(std::uint32_t turn) const {
    return pipe_.row_buffers == 2 ? turn % 2 : 0;
  }
  __device__ __forceinline__ std::uint32_t parity_of(std::uint32_t turn) const {
    return (pipe_.row_buffers == 2 ? turn / 2 : turn) % 2;
  }
  __device__ __forceinline__ std::uint32_t row_address(std::uint32_t buffer, std::uint32_t slot) const {
    return base_ + pipe_.rows_at + (buffer * pipe_.row_slots + slot) * pipe_.row_stride;
  }
  __device__ __forceinline__ std::uint32_t row_of(std::uint32_t chunk, std::uint32_t place) const {
    return chunks_.member(chunk, place) / call_.rows.divisor;
  }
  __device__ __forceinline__ void ask_for_row(std::uint32_t row, std::uint32_t buffer, std::uint32_t slot) const {
    copy_bulk(row_address(buffer, slot), call_.rows.values + std::size_t{row} * call_.matrices.num_cols,
              call_.matrices.num_cols * 2, rows_full(buffer));
  }
  __device__ __forceinline__ void ask_for_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t buffer = buffer_of(turn_of(items, chunk));
    const std::uint32_t count = chunks_.count(chunk);
    if (lane_ == 0) arrive_expecting(rows_full(buffer), count * call_.matrices.num_cols * 2);
    __syncwarp();
    for (std::uint32_t i = lane_; i < count; i += 32) ask_for_row(row_of(chunk, i), buffer, i);
  }
  // The first rows are copied by threads: they would come after all weights that the copy engine has been asked for.
  // Few rows by the whole block, many by a warp each.
  __device__ __forceinline__ void copy_rows(std::uint32_t chunk, std::uint32_t count, std::uint32_t buffer) const {
    const std::uint32_t num_bytes = call_.matrices.num_cols * 2;
    const bool by_warp = count >= pipe_.num_warps;
    const std::uint32_t stride = by_warp ? 512 : blockDim.x * 16;
    for (std::uint32_t i = by_warp ? warp_ : 0; i < count; i += by_warp ? pipe_.num_warps : 1) {
      const Bf16Bits* const values =
          call_.rows.values + std::size_t{pipe_.rows_stay ? i : row_of(chunk, i)} * call_.matrices.num_cols;
      const auto* const from = reinterpret_cast<const std::uint8_t*>(values);
      for (std::uint32_t at = (by_warp ? lane_ : threadIdx.x) * 16; at < num_bytes; at += stride) {
        copy_16_bytes(row_address(buffer, i) + at, from + at);
      }
    }
  }
  __device__ __forceinline__ void copy_all_rows() const { copy_rows(0, call_.rows.count, 0); }
  __device__ __forceinline__ void copy_first_rows(const Items& items) const {
    if (items.count == 0) return;
    const std::uint32_t end = min(items.first_chunk + pipe_.row_buffers, items.last_chunk + 1);
    for (std::uint32_t chunk = items.first_chunk; chunk < end; ++chunk) {
      copy_rows(chunk, chunks_.count(chunk), buffer_of(chunk - items.first_chunk));
    }
  }
  __device__ __forceinline__ void wait_for_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t turn = turn_of(items, chunk);
    wait_in_loop(rows_full(buffer_of(turn)), parity_of(turn));
  }
  // The last warp that leaves a chunk asks for the rows that take its place.
  __device__ __forceinline__ void leave_rows(const Items& items, std::uint32_t chunk) const {
    __syncwarp();
    std::uint32_t num_before = 0;
    if (lane_ == 0) {
      std::uint32_t* const left = num_left(buffer_of(turn_of(items, chunk)));
      __threadfence_block();  // the warp's loads of rows come before
      num_before = atomicAdd(left, 1U);
      __threadfence_block();
      if (num_before == pipe_.num_warps - 1) *left = 0;
    }
    num_before = __shfl_sync(kLanes, num_before, 0);
    if (num_before != pipe_.num_warps - 1 || chunk + pipe_.row_buffers > items.last_chunk) return;
    ask_for_rows(items, chunk + pipe_.row_buffers);
  }
  // Every warp passes every chunk of the block, whether it has items of it or not.
  __device__ __forceinline__ void pass_to(const Items& items, std::uint32_t& chunk, std::uint32_t to) const {
    if (pipe_.rows_stay) {
      chunk = to;
      return;
    }
    while (chunk != to) {
      leave_rows(items, chunk);
      wait_for_rows(items, ++chunk);
    }
  }

  // --- Products.

  // Places without a token have the first one's row: nobody stores their sums.
  __device__ __forceinline__ void find_tokens(const Items& items, std::uint32_t chunk, Tokens& tokens) const {
    const std::uint32_t count = chunks_.count(chunk);
    const std::uint32_t buffer = buffer_of(turn_of(items, chunk));
    tokens.scales = sink_.scales(chunks_.expert(chunk));
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) {
      const std::uint32_t own = 8 * n + lane_ % 8;
      const std::uint32_t place = own < count ? own : 0;
      tokens.rows[n] = row_address(buffer, pipe_.rows_stay ? row_of(chunk, place) : place) + lane_ / 8 * 16;
#pragma unroll
      for (std::uint32_t h = 0; h < 2; ++h) {
        const std::uint32_t column = 8 * n + lane_ % 4 * 2 + h;
        std::uint32_t& member = tokens.columns.member[n][h];
        float& factor = tokens.columns.factor[n][h];
        member = SumColumns<kColumns>::kNone;
        factor = 1.0F;
        if (column >= count) continue;
        member = chunks_.member(chunk, column);
        if (call_.rows.factors != nullptr) factor = call_.rows.factors[member / call_.rows.divisor];
        if (call_.rows.pair_factors != nullptr) factor *= call_.rows.pair_factors[member];
      }
    }
  }

  __device__ __forceinline__ void multiply(const Items& items, Asked& asked) const {
    std::uint32_t chunk = items.first_chunk;
    wait_for_rows(items, chunk);
    Tokens tokens;
    bool has_tokens = false;
    Cursor cursor = items.begin(team());
    RingPlace place;
    std::uint32_t turn = 0;
    for (std::uint32_t index = team(); index < items.count; index += num_teams()) {
      if (!has_tokens || cursor.chunk != chunk) {
        pass_to(items, chunk, cursor.chunk);
        find_tokens(items, chunk, tokens);
        has_tokens = true;
      }
      TileSums<kColumns> sums;
      multiply_item(items, tokens.rows, place, asked, sums);
      float4 totals[kColumns];
#pragma unroll
      for (std::uint32_t n = 0; n < kColumns; ++n) totals[n] = sums.total(n);
      if (add_up(turn, totals)) {
        sink_.store(tokens.columns, tokens.scales, cursor.row_group, totals, shared_ + pipe_.results_at);
      }
      turn ^= 1;
      items.advance(cursor, num_teams());
    }
    if constexpr (Sink::kOneRowGroup) even_barriers(items);
    if (pipe_.rows_stay) return;
    while (chunk + pipe_.row_buffers <= items.last_chunk) pass_to(items, chunk, chunk + 1);
  }

  __device__ __forceinline__ void multiply_item(const Items& items, const std::uint32_t (&rows)[kColumns],
                                                RingPlace& place, Asked& asked, TileSums<kColumns>& sums) const {
    for (std::uint32_t tile = first_tile_; tile < end_tile_;) {
      const std::uint32_t num = min(pipe_.piece_tiles, end_tile_ - tile);
      wait_in_loop(slot_full(place.slot), place.parity);
      multiply_tiles<kColumns>(shared_ + slot_at(place.slot), num, rows, tile * kTileColumnBytes, call_.sixteen, sums);
      tile += num;
      __syncwarp();
      ask(items, place.slot, asked);
      place.advance(pipe_.slots);
    }
  }

  // The sums of the warps that share an item, in their order; true in the one that has them. They take turns: the first
  // two of them, and two buffers.
  __device__ __forceinline__ bool add_up(std::uint32_t turn, float4 (&totals)[kColumns]) const {
    if constexpr (kSplit == 1) return true;
    float4* const buffer = reinterpret_cast<float4*>(shared_ + pipe_.sums_at) +
                           (turn * num_teams() + team()) * kSplit * kColumns * 32 + lane_;
    const std::uint32_t own = warp_ % kSplit;
    if (own != turn) {
#pragma unroll
      for (std::uint32_t n = 0; n < kColumns; ++n) buffer[(own * kColumns + n) * 32] = totals[n];
    }
    sync_warps(1 + team(), 32 * kSplit);
    if (own != turn) return false;
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) {
      float4 total = {0.0F, 0.0F, 0.0F, 0.0F};
#pragma unroll
      for (std::uint32_t i = 0; i < kSplit; ++i) {
        const float4 part = i == turn ? totals[n] : buffer[(i * kColumns + n) * 32];
        total.x += part.x;
        total.y += part.y;
        total.z += part.z;
        total.w += part.w;
      }
      totals[n] = total;
    }
    return true;
  }

  // Teams without an item of the last round pass their barrier once more. Nothing needs it, and they wait anyway; but
  // racecheck sees races after the block's next barrier where warps have passed different numbers of barriers.
  __device__ __forceinline__ void even_barriers(const Items& items) const {
    const std::uint32_t last_round = items.count % num_teams();
    if (kSplit > 1 && last_round != 0 && team() >= last_round) sync_warps(1 + team(), 32 * kSplit);
  }

  const DecodeCall& call_;
  const DecodePipe& pipe_;
  const Sink& sink_;
  std::uint8_t* const shared_;
  const std::uint32_t base_;
  const std::uint32_t warp_;
  const std::uint32_t lane_;
  const std::uint32_t first_tile_;
  const std::uint32_t end_tile_;
  DecodeChunks<kSize> chunks_;
};

// A sink's kernel: blocks of pipe.num_threads() threads and pipe.num_bytes bytes.
template <class Sink, std::uint32_t kSplit, std::uint32_t kColumns>
__global__ void __launch_bounds__(kMaxDecodeThreads, 1)
    decode_kernel(const __grid_constant__ DecodeCall call, const __grid_constant__ Sink sink) {
  DecodeBlock<Sink, kSplit, kColumns>(call, sink, dynamic_shared()).run();
}

// For every launch on the current device: as much shared memory as a block can have, and all of it for shared memory:
// kernels of which one wants another share cannot be on a multiprocessor together.
template <class Kernel>
Status allow_shared_bytes(std::string_view name, Kernel kernel, const DeviceCaps& caps) {
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(caps.shared_bytes_per_block));
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 static_cast<int>(cudaSharedmemCarveoutMaxShared));
  }
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, std::string(name),
               std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
}

}  // namespace nvfp4::kernels::cuda_sm90
