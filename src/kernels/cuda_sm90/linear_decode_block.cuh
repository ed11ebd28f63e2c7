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

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm90/linear_decode_call.cuh"
#include "kernels/cuda_sm90/linear_decode_items.cuh"
#include "kernels/cuda_sm90/linear_decode_tiles.cuh"
#include "kernels/cuda_sm90/moe_decode_chunks.cuh"

namespace nvfp4::kernels::cuda_sm90 {

template <class Sink, std::uint32_t kSplit, std::uint32_t kColumns>
class DecodeBlock {
  using Items = DecodeItems<Sink::kOneRowGroup>;
  using Cursor = typename Items::Cursor;
  static constexpr std::uint32_t kSize = 8 * kColumns;
  static constexpr std::uint32_t kLanes = 0xFFFFFFFFU;
  static constexpr std::uint32_t kNothing = 0xFFFFFFFFU;

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
        own_barriers_(base_ + pipe_.barriers_at + 8 * (kRowBarriers + warp_ * pipe_.slots)),
        own_slots_(warp_ * pipe_.slots * pipe_.piece_tiles * kTileBytes),
        chunks_(shared + call.pipe.chunks_at, call.pairs) {
    pin(own_barriers_), pin(own_slots_);  // computed once
  }

  // Everything that does not depend on the kernels ahead comes before the wait for them, and first of all each warp's
  // first weights: the copy engine serves requests in their order, so that further ones come behind the rows.
  __device__ __forceinline__ void run() {
    const bool waits_first = !sink_.ids_are_early();
    typename Sink::Early early{};
    if (!waits_first) early = load();
    init_slots();
    chunks_.clear();
    if (waits_first) {
      const RowPiece piece = first_piece();
      wait_for_earlier_kernels();
      early = load();
      if (rows_stay()) copy_all_rows(piece);
    }
    chunks_.group();
    Items items(call_.matrices.row_groups, call_.blocks, chunks_.num_chunks());
    const Cursor first = items.begin(team());
    Asked asked{first, has_tiles() ? team() : kNothing, first_tile_, nullptr};
    if (asked.index < items.count) {
      aim(asked, chunks_.first_expert(first.chunk));
      request(0, asked);
    }
    let_next_kernel_start();
    chunks_.list();
    sink_.begin(call_, shared_ + pipe_.results_at, early, chunks_.own_expert());
    init_rows();
    clear_row_ends();
    const RowPiece piece = first_piece();
    if (!rows_stay() && items.count != 0) items.find_chunks();
    if (chunks_.has_ids()) __syncthreads();
    Tokens tokens;
    if (team() < items.count) find_tokens(items, first.chunk, tokens);
    if (asked.index < items.count) step(items, asked);
    if (!waits_first) wait_for_earlier_kernels();
    if (!rows_stay()) {
      copy_first_rows(items);
    } else if (!waits_first) {
      copy_all_rows(piece);
    }
    if (team() < items.count) find_factors(tokens.columns);
    wait_for_all_copies();
    __syncthreads();
#pragma unroll 1
    for (std::uint32_t slot = 1; slot < pipe_.slots; ++slot) ask(items, slot, asked);
    if (items.count != 0) multiply(items, first, tokens, asked);
    sink_.end(call_, shared_ + pipe_.results_at);
  }

 private:
  // The piece of weights that a warp asks for next. index: its item's.
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
  __device__ __forceinline__ bool has_tiles() const { return kSplit == 1 || first_tile_ != end_tile_; }
  // Always where a block has one row group.
  __device__ __forceinline__ bool rows_stay() const { return Sink::kOneRowGroup || pipe_.rows_stay; }

  __device__ __forceinline__ typename Sink::Early load() {
    chunks_.load();
    return sink_.early(call_);
  }

  // Barriers: a buffer's rows are there, and all lanes have left them; then the slots of each warp; then two counters
  // of the warps that left.
  __device__ __forceinline__ std::uint32_t rows_full(std::uint32_t buffer) const {
    return base_ + pipe_.barriers_at + 8 * buffer;
  }
  __device__ __forceinline__ std::uint32_t rows_left(std::uint32_t buffer) const { return rows_full(2 + buffer); }
  __device__ __forceinline__ std::uint32_t slot_full(std::uint32_t slot) const { return own_barriers_ + 8 * slot; }
  __device__ __forceinline__ std::uint32_t* num_left(std::uint32_t buffer) const {
    const std::uint32_t barriers = kRowBarriers + pipe_.num_warps * pipe_.slots;
    return reinterpret_cast<std::uint32_t*>(shared_ + pipe_.barriers_at + 8 * barriers) + buffer;
  }
  // A warp's own: it need not wait for others before it asks for weights.
  __device__ __forceinline__ void init_slots() const {
    if (lane_ < pipe_.slots) init_barrier(slot_full(lane_), 1);
    publish_barriers();
    __syncwarp();
  }
  // The first rows come by threads: as if they had been asked for, and were here.
  __device__ __forceinline__ void init_rows() const {
    if (rows_stay() || warp_ != 0) return;
    if (lane_ < 2) {
      init_barrier(rows_full(lane_), 1);
      init_barrier(rows_left(lane_), 32 * pipe_.num_warps);
      *num_left(lane_) = 0;
    }
    publish_barriers();
    __syncwarp();
    if (lane_ < 2) arrive(rows_full(lane_));
  }

  // Columns from K to whole tiles, 48 at most: their codes are 0, but 0 times what may be NaN is not.
  __device__ __forceinline__ void clear_row_ends() const {
    const std::uint32_t words = (call_.matrices.num_tiles * 64 - call_.matrices.num_cols) / 2;
    if (lane_ >= words) return;
    std::uint8_t* const ends = shared_ + pipe_.rows_at + call_.matrices.num_cols * 2 + lane_ * 4;
#pragma unroll 1
    for (std::uint32_t row = warp_; row < pipe_.row_buffers * pipe_.row_slots; row += pipe_.num_warps) {
      *reinterpret_cast<std::uint32_t*>(ends + row * pipe_.row_stride) = 0;
    }
  }

  // --- Weights.

  __device__ __forceinline__ std::uint32_t slot_at(std::uint32_t slot) const {
    return own_slots_ + slot * pipe_.piece_tiles * kTileBytes;
  }
  // Of a tile's number 32 bits are enough: 2^32 of them take 2 TiB.
  __device__ __forceinline__ void aim(Asked& asked, std::uint32_t expert) const {
    const DecodeMatrices& matrices = call_.matrices;
    const std::uint32_t group = expert * matrices.row_groups.value + asked.cursor.row_group;
    asked.from = matrices.data + std::uint64_t{group * matrices.num_tiles + first_tile_} * kTileBytes;
  }
  __device__ __forceinline__ void request(std::uint32_t slot, Asked& asked) const {
    const std::uint32_t num = min(pipe_.piece_tiles, end_tile_ - asked.tile);
    const std::uint32_t num_bytes = num * kTileBytes;
    if (lane_ == 0) {
      arrive_expecting(slot_full(slot), num_bytes);
      copy_bulk_once(base_ + slot_at(slot), asked.from, num_bytes, slot_full(slot));
    }
    asked.from += num_bytes;
    asked.tile += num;
  }
  // After a request.
  __device__ __forceinline__ void step(const Items& items, Asked& asked) const {
    if (asked.tile != end_tile_) return;
    asked.tile = first_tile_;
    asked.index += num_teams();
    items.advance(asked.cursor, num_teams());
    if (asked.index < items.count) aim(asked, chunks_.expert(asked.cursor.chunk));
  }
  __device__ __forceinline__ void ask(const Items& items, std::uint32_t slot, Asked& asked) const {
    if (asked.index >= items.count) return;
    request(slot, asked);
    step(items, asked);
  }

  // --- Rows.

  // Whose turn it is in the buffers: chunk 0, 1, ... of the block.
  __device__ __forceinline__ std::uint32_t turn_of(const Items& items, std::uint32_t chunk) const {
    return rows_stay() ? 0 : chunk - items.first_chunk;
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
  __device__ __forceinline__ std::uint32_t row_of_pair(std::uint32_t pair) const {
    return Sink::kRowsArePairs ? pair : call_.rows.divisor.quotient(pair);
  }
  __device__ __forceinline__ std::uint32_t row_of(std::uint32_t chunk, std::uint32_t place) const {
    return row_of_pair(chunks_.member(chunk, place));
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
#pragma unroll 1
    for (std::uint32_t i = lane_; i < count; i += 32) ask_for_row(row_of(chunk, i), buffer, i);
  }
  // The first rows are copied by threads: they would come after all weights that the copy engine has been asked for.
  // Few rows by the whole block, many by a warp each. A thread's first 16 bytes of those that stay, and how it goes on:
  struct RowPiece {
    std::uint32_t row, rows, column, columns;  // bytes
    std::uint32_t from, to;
  };
  __device__ __forceinline__ RowPiece first_piece() const {
    const bool by_warp = call_.rows.count >= pipe_.num_warps;
    RowPiece piece;
    piece.row = by_warp ? warp_ : 0;
    piece.rows = by_warp ? pipe_.num_warps : 1;
    piece.column = (by_warp ? lane_ : threadIdx.x) * 16;
    piece.columns = (by_warp ? 32 : blockDim.x) * 16;
    piece.from = piece.row * call_.matrices.num_cols * 2 + piece.column;
    piece.to = row_address(0, piece.row) + piece.column;
    pin(piece.column), pin(piece.from), pin(piece.to);  // computed here, and not behind a wait
    return piece;
  }
  __device__ __forceinline__ void copy_all_rows(RowPiece piece) const {
    const std::uint32_t num_bytes = call_.matrices.num_cols * 2;
    const auto* const values = reinterpret_cast<const std::uint8_t*>(call_.rows.values);
#pragma unroll 1
    for (; piece.row < call_.rows.count; piece.row += piece.rows) {
#pragma unroll 1
      for (std::uint32_t at = 0; piece.column + at < num_bytes; at += piece.columns) {
        copy_16_bytes(piece.to + at, values + piece.from + at);
      }
      piece.from += piece.rows * num_bytes;
      piece.to += piece.rows * pipe_.row_stride;
    }
  }
  __device__ __forceinline__ void copy_rows(std::uint32_t chunk, std::uint32_t count, std::uint32_t buffer) const {
    const std::uint32_t num_bytes = call_.matrices.num_cols * 2;
    const bool by_warp = count >= pipe_.num_warps;
    const std::uint32_t stride = by_warp ? 512 : blockDim.x * 16;
#pragma unroll 1
    for (std::uint32_t i = by_warp ? warp_ : 0; i < count; i += by_warp ? pipe_.num_warps : 1) {
      const Bf16Bits* const values = call_.rows.values + std::size_t{row_of(chunk, i)} * call_.matrices.num_cols;
      const auto* const from = reinterpret_cast<const std::uint8_t*>(values);
#pragma unroll 1
      for (std::uint32_t at = (by_warp ? lane_ : threadIdx.x) * 16; at < num_bytes; at += stride) {
        copy_16_bytes(row_address(buffer, i) + at, from + at);
      }
    }
  }
  __device__ __forceinline__ void copy_first_rows(const Items& items) const {
    if (items.count == 0) return;
    const std::uint32_t end = min(items.first_chunk + pipe_.row_buffers, items.last_chunk + 1);
#pragma unroll 1
    for (std::uint32_t chunk = items.first_chunk; chunk < end; ++chunk) {
      copy_rows(chunk, chunks_.count(chunk), buffer_of(chunk - items.first_chunk));
    }
  }
  __device__ __forceinline__ void wait_for_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t turn = turn_of(items, chunk);
    wait_in_loop(rows_full(buffer_of(turn)), parity_of(turn));
  }
  // The last warp that leaves a chunk asks for the rows that take its place: it does not wait long for all lanes.
  __device__ __forceinline__ void leave_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t turn = turn_of(items, chunk);
    const std::uint32_t buffer = buffer_of(turn);
    arrive(rows_left(buffer));
    std::uint32_t num_before = 0;
    if (lane_ == 0) num_before = atomicAdd(num_left(buffer), 1U);
    if (__shfl_sync(kLanes, num_before, 0) != pipe_.num_warps - 1) return;
    wait_in_loop(rows_left(buffer), parity_of(turn));
    if (lane_ == 0) *num_left(buffer) = 0;
    if (chunk + pipe_.row_buffers <= items.last_chunk) ask_for_rows(items, chunk + pipe_.row_buffers);
  }
  // Every warp passes every chunk of the block, whether it has items of it or not.
  __device__ __forceinline__ void pass_to(const Items& items, std::uint32_t& chunk, std::uint32_t to) const {
    if (rows_stay()) {
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
      tokens.rows[n] = row_address(buffer, rows_stay() ? row_of(chunk, place) : place) + lane_ / 8 * 16;
#pragma unroll
      for (std::uint32_t h = 0; h < 2; ++h) {
        const std::uint32_t column = 8 * n + lane_ % 4 * 2 + h;
        std::uint32_t& member = tokens.columns.member[n][h];
        member = column < count ? chunks_.member(chunk, column) : SumColumns<kColumns>::kNone;
        tokens.columns.factor[n][h] = 1.0F;
      }
    }
  }
  // Kernels ahead may have written them.
  __device__ __forceinline__ void find_factors(SumColumns<kColumns>& columns) const {
    const DecodeRows& rows = call_.rows;
    if (rows.factors == nullptr && (Sink::kRowsArePairs || rows.pair_factors == nullptr)) return;
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) {
#pragma unroll
      for (std::uint32_t h = 0; h < 2; ++h) {
        const std::uint32_t member = columns.member[n][h];
        if (member == SumColumns<kColumns>::kNone) continue;
        if (rows.factors != nullptr) columns.factor[n][h] = rows.factors[row_of_pair(member)];
        if (!Sink::kRowsArePairs && rows.pair_factors != nullptr) columns.factor[n][h] *= rows.pair_factors[member];
      }
    }
  }

  // cursor, tokens: the warp's first item's.
  __device__ __forceinline__ void multiply(const Items& items, Cursor cursor, Tokens& tokens, Asked& asked) const {
    std::uint32_t chunk = rows_stay() ? cursor.chunk : items.first_chunk;
    RingPlace place;
    std::uint32_t turn = 0;
    std::uint32_t index = team();
    for (; index < items.count; index += num_teams()) {
      if (cursor.chunk != chunk) {
        pass_to(items, chunk, cursor.chunk);
        if (index != team()) {
          find_tokens(items, chunk, tokens);
          find_factors(tokens.columns);
        }
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
    if constexpr (Sink::kOneRowGroup) even_barriers(items, index);
    if (rows_stay()) return;
#pragma unroll 1
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
  // racecheck sees races after the block's next barrier where warps have passed different numbers of barriers. index:
  // where the team's items ended.
  __device__ __forceinline__ void even_barriers(const Items& items, std::uint32_t index) const {
    if (kSplit > 1 && index - team() < items.count) sync_warps(1 + team(), 32 * kSplit);
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
  std::uint32_t own_barriers_;
  std::uint32_t own_slots_;
  DecodeChunks<kSize, Sink::kIds> chunks_;
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
