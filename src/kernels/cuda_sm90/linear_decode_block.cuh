// What a block of the kernels for few tokens does: linear_decode_pipe.h says how it is divided, a Sink what becomes of
// the sums.
//
//   sums[m, n] = 2^-8 sum_k matrix_e(m)[n, k] * rows[m / divisor, k]     m: a pair, or a row of one matrix
//   factor[m] = factors[m / divisor] * pair_factors[m]
//
// Roles: `stripes` warps of each team multiply, one of each adds up and stores, the block's last warp asks for weights
// (before the kernels ahead have ended) and rows (afterwards). Bound: memory, each weight is read once for 8 tokens.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
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

template <class Sink, std::uint32_t kColumns>
class DecodeBlock {
  using Items = DecodeItems<Sink::kOneRowGroup>;
  using Cursor = typename Items::Cursor;
  static constexpr std::uint32_t kSize = 8 * kColumns;

 public:
  __device__ __forceinline__ DecodeBlock(const DecodeCall& call, const Sink& sink, std::uint8_t* shared)
      : call_(call),
        pipe_(call.pipe),
        sink_(sink),
        shared_(shared),
        base_(shared_address(shared)),
        warp_(__shfl_sync(0xFFFFFFFFU, threadIdx.x / 32, 0)),
        lane_(threadIdx.x % 32),
        chunks_(shared + call.pipe.chunks_at, call.pairs) {}

  __device__ __forceinline__ void run() {
    init_barriers();
    clear_row_ends();
    if constexpr (!Sink::kIdsAreEarly) wait_for_earlier_kernels();
    chunks_.group();
    sink_.begin(call_, shared_ + pipe_.results_at);
    __syncthreads();
    let_next_kernel_start();
    const Items items(call_.matrices.row_groups, chunks_.num_chunks());
    const std::uint32_t num_compute_warps = pipe_.num_compute_warps();
    if (warp_ < num_compute_warps) {
      multiply(items);
    } else if (warp_ < num_compute_warps + pipe_.teams) {
      add_up(items, warp_ - num_compute_warps);
    } else {
      ask(items);
    }
  }

 private:
  // Barriers: stages, rows, sums, each there (full) or no longer needed (empty).
  __device__ __forceinline__ std::uint32_t barrier(std::uint32_t idx) const {
    return base_ + pipe_.barriers_at + 8 * idx;
  }
  __device__ __forceinline__ std::uint32_t stage_full(std::uint32_t slot) const { return barrier(slot); }
  __device__ __forceinline__ std::uint32_t stage_empty(std::uint32_t slot) const {
    return barrier(kMaxDecodeStages + slot);
  }
  __device__ __forceinline__ std::uint32_t rows_full(std::uint32_t slot) const {
    return barrier(2 * kMaxDecodeStages + slot);
  }
  __device__ __forceinline__ std::uint32_t rows_empty(std::uint32_t slot) const {
    return barrier(2 * kMaxDecodeStages + 2 + slot);
  }
  __device__ __forceinline__ std::uint32_t sums_full(std::uint32_t team, std::uint32_t slot) const {
    return barrier(2 * kMaxDecodeStages + 4 + team * kDecodeSumBuffers + slot);
  }
  __device__ __forceinline__ std::uint32_t sums_empty(std::uint32_t team, std::uint32_t slot) const {
    return sums_full(pipe_.teams + team, slot);
  }

  __device__ __forceinline__ void init_barriers() const {
    if (threadIdx.x < kMaxDecodeStages) {
      init_barrier(stage_full(threadIdx.x), 1);
      init_barrier(stage_empty(threadIdx.x), pipe_.num_compute_warps());
    }
    if (threadIdx.x < 2) {
      init_barrier(rows_full(threadIdx.x), 1);
      init_barrier(rows_empty(threadIdx.x), pipe_.num_compute_warps());
    }
    if (threadIdx.x < pipe_.teams * kDecodeSumBuffers) {
      init_barrier(sums_full(0, threadIdx.x), pipe_.stripes);
      init_barrier(sums_empty(0, threadIdx.x), 1);
    }
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

  // Whose turn it is in the buffers of rows: chunk 0, 1, ... of the block.
  __device__ __forceinline__ std::uint32_t turn_of(const Items& items, std::uint32_t chunk) const {
    return pipe_.rows_stay ? 0 : chunk - items.first_chunk;
  }
  __device__ __forceinline__ std::uint32_t buffer_of(std::uint32_t turn) const {
    return pipe_.row_buffers == 2 ? turn % 2 : 0;
  }
  __device__ __forceinline__ std::uint32_t parity_of(std::uint32_t turn) const {
    return (pipe_.row_buffers == 2 ? turn / 2 : turn) % 2;
  }
  __device__ __forceinline__ std::uint32_t stage_at(std::uint32_t slot, std::uint32_t team) const {
    return (slot * pipe_.teams + team) * pipe_.piece_tiles * kTileBytes;
  }
  __device__ __forceinline__ std::uint32_t row_address(std::uint32_t buffer, std::uint32_t slot) const {
    return base_ + pipe_.rows_at + (buffer * pipe_.row_slots + slot) * pipe_.row_stride;
  }
  __device__ __forceinline__ std::uint32_t row_of(std::uint32_t chunk, std::uint32_t place) const {
    return chunks_.member(chunk, place) / call_.rows.divisor;
  }
  __device__ __forceinline__ float4* sums_at(std::uint32_t team, std::uint32_t slot) const {
    return reinterpret_cast<float4*>(shared_ + pipe_.sums_at) +
           (team * kDecodeSumBuffers + slot) * pipe_.stripes * kColumns * 32 + lane_;
  }

  // --- Warps that multiply.

  __device__ __forceinline__ void wait_for_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t turn = turn_of(items, chunk);
    wait(rows_full(buffer_of(turn)), parity_of(turn));
  }
  __device__ __forceinline__ void leave_rows(const Items& items, std::uint32_t chunk) const {
    __syncwarp();
    if (lane_ == 0) arrive(rows_empty(buffer_of(turn_of(items, chunk))));
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
  // What the lane gives load_matrices(). Places without a token have the first one's row: nobody stores their sums.
  __device__ __forceinline__ void find_rows(const Items& items, std::uint32_t chunk,
                                            std::uint32_t (&rows)[kColumns]) const {
    const std::uint32_t count = chunks_.count(chunk);
    const std::uint32_t buffer = buffer_of(turn_of(items, chunk));
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) {
      const std::uint32_t own = 8 * n + lane_ % 8;
      const std::uint32_t place = own < count ? own : 0;
      rows[n] = row_address(buffer, pipe_.rows_stay ? row_of(chunk, place) : place) + lane_ / 8 * 16;
    }
  }

  __device__ __forceinline__ void multiply(const Items& items) {
    const std::uint32_t team = warp_ / pipe_.stripes;
    std::uint32_t chunk = items.first_chunk;
    if (items.count != 0) wait_for_rows(items, chunk);
    std::uint32_t rows[kColumns];
    bool has_rows = false;
    Cursor cursor = items.begin(team);
    RingPlace stage;
    RingPlace sum{0, 1};
    for (std::uint32_t index = team; index < items.count; index += pipe_.teams) {
      if (!has_rows || cursor.chunk != chunk) {
        pass_to(items, chunk, cursor.chunk);
        find_rows(items, chunk, rows);
        has_rows = true;
      }
      TileSums<kColumns> sums;
      multiply_item(team, rows, stage, sums);
      hand_over(team, sum, sums);
      items.advance(cursor, pipe_.teams);
    }
    if (!pipe_.rows_stay && items.count != 0) {
      while (chunk + pipe_.row_buffers <= items.last_chunk) pass_to(items, chunk, chunk + 1);
    }
    // The last stages have no item for some teams, but are for all warps to give back. Rows come first: the last stages
    // wait for them.
    if (team >= (items.count + pipe_.teams - 1) % pipe_.teams + 1) pass_stages(stage);
  }

  __device__ __forceinline__ void multiply_item(std::uint32_t team, const std::uint32_t (&rows)[kColumns],
                                                RingPlace& stage, TileSums<kColumns>& sums) const {
    const std::uint32_t stripe = warp_ % pipe_.stripes;
    for (std::uint32_t first = 0; first < call_.matrices.num_tiles; first += pipe_.piece_tiles) {
      const std::uint32_t num = min(pipe_.piece_tiles, call_.matrices.num_tiles - first);
      const std::uint32_t begin = num * stripe >> pipe_.stripe_shift;
      const std::uint32_t end = num * (stripe + 1) >> pipe_.stripe_shift;
      wait(stage_full(stage.slot), stage.parity);
      multiply_tiles<kColumns>(shared_ + stage_at(stage.slot, team) + begin * kTileBytes, end - begin, rows,
                               (first + begin) * kTileColumnBytes, call_.sixteen, sums);
      __syncwarp();
      if (lane_ == 0) arrive(stage_empty(stage.slot));
      stage.advance(pipe_.stages);
    }
  }

  __device__ __forceinline__ void pass_stages(RingPlace& stage) const {
    for (std::uint32_t piece = 0; piece < pipe_.pieces; ++piece) {
      wait(stage_full(stage.slot), stage.parity);
      if (lane_ == 0) arrive(stage_empty(stage.slot));
      stage.advance(pipe_.stages);
    }
  }

  __device__ __forceinline__ void hand_over(std::uint32_t team, RingPlace& sum, const TileSums<kColumns>& sums) const {
    wait(sums_empty(team, sum.slot), sum.parity);
    float4* const to = sums_at(team, sum.slot) + warp_ % pipe_.stripes * kColumns * 32;
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) to[n * 32] = sums.total(n);
    __syncwarp();
    if (lane_ == 0) arrive(sums_full(team, sum.slot));
    sum.advance(kDecodeSumBuffers);
  }

  // --- Warps that add up.

  __device__ __forceinline__ SumColumns<kColumns> find_columns(std::uint32_t chunk) const {
    SumColumns<kColumns> columns;
    const std::uint32_t count = chunks_.count(chunk);
#pragma unroll
    for (std::uint32_t n = 0; n < kColumns; ++n) {
#pragma unroll
      for (std::uint32_t h = 0; h < 2; ++h) {
        const std::uint32_t place = 8 * n + lane_ % 4 * 2 + h;
        columns.member[n][h] = SumColumns<kColumns>::kNone;
        columns.factor[n][h] = 1.0F;
        if (place >= count) continue;
        columns.member[n][h] = chunks_.member(chunk, place);
        if (call_.rows.factors != nullptr) columns.factor[n][h] = call_.rows.factors[row_of(chunk, place)];
        if (call_.rows.pair_factors != nullptr) columns.factor[n][h] *= call_.rows.pair_factors[columns.member[n][h]];
      }
    }
    return columns;
  }

  __device__ __forceinline__ void add_up(const Items& items, std::uint32_t team) {
    if constexpr (Sink::kIdsAreEarly) wait_for_earlier_kernels();
    std::uint32_t chunk = SumColumns<kColumns>::kNone;
    SumColumns<kColumns> columns;
    typename Sink::Scales scales;
    Cursor cursor = items.begin(team);
    RingPlace sum;
    for (std::uint32_t index = team; index < items.count; index += pipe_.teams) {
      if (cursor.chunk != chunk) {
        chunk = cursor.chunk;
        columns = find_columns(chunk);
        scales = sink_.scales(chunks_.expert(chunk));
      }
      wait(sums_full(team, sum.slot), sum.parity);
      float4 totals[kColumns];
      const float4* from = sums_at(team, sum.slot);
#pragma unroll
      for (std::uint32_t n = 0; n < kColumns; ++n) totals[n] = from[n * 32];
      for (std::uint32_t stripe = 1; stripe < pipe_.stripes; ++stripe) {
        from += kColumns * 32;
#pragma unroll
        for (std::uint32_t n = 0; n < kColumns; ++n) add(totals[n], from[n * 32]);
      }
      __syncwarp();
      if (lane_ == 0) arrive(sums_empty(team, sum.slot));
      sum.advance(kDecodeSumBuffers);
      sink_.store(columns, scales, cursor.row_group, totals, shared_ + pipe_.results_at);
      items.advance(cursor, pipe_.teams);
    }
    sink_.end(call_, shared_ + pipe_.results_at);
  }
  __device__ __forceinline__ static void add(float4& total, const float4& more) {
    total.x += more.x;
    total.y += more.y;
    total.z += more.z;
    total.w += more.w;
  }

  // --- The warp that asks.

  struct Asked {
    RingPlace stage;
    std::uint32_t num_stages;
    bool rows;                 // the first ones, at least
    std::uint32_t next_chunk;  // whose rows were not asked for
    std::uint32_t last_chunk;  // whose weights were
  };

  __device__ __forceinline__ void ask_for_row(std::uint32_t row, std::uint32_t buffer, std::uint32_t slot) const {
    copy_bulk(row_address(buffer, slot), call_.rows.values + std::size_t{row} * call_.matrices.num_cols,
              call_.matrices.num_cols * 2, rows_full(buffer));
  }
  __device__ __forceinline__ void ask_for_all_rows() const {
    if (lane_ == 0) arrive_with_bytes(rows_full(0), call_.rows.count * call_.matrices.num_cols * 2);
    __syncwarp();
    for (std::uint32_t row = lane_; row < call_.rows.count; row += 32) ask_for_row(row, 0, row);
  }
  __device__ __forceinline__ void ask_for_rows(const Items& items, std::uint32_t chunk) const {
    const std::uint32_t turn = turn_of(items, chunk);
    const std::uint32_t buffer = buffer_of(turn);
    const std::uint32_t count = chunks_.count(chunk);
    wait(rows_empty(buffer), parity_of(turn) ^ 1);
    if (lane_ == 0) arrive_with_bytes(rows_full(buffer), count * call_.matrices.num_cols * 2);
    __syncwarp();
    if (lane_ < count) ask_for_row(row_of(chunk, lane_), buffer, lane_);
  }
  // The rows of the chunks up to `last`: for the first ones the kernels ahead must end, for others rows must be left.
  __device__ __forceinline__ void ask_for_rows_up_to(const Items& items, std::uint32_t last, Asked& asked) const {
    if (!asked.rows) {
      if constexpr (Sink::kIdsAreEarly) wait_for_earlier_kernels();
      asked.rows = true;
      if (pipe_.rows_stay) ask_for_all_rows();
    }
    if (pipe_.rows_stay) return;
    for (; asked.next_chunk <= last; ++asked.next_chunk) ask_for_rows(items, asked.next_chunk);
  }

  // Weights first: rows may have to wait until weights that were asked for are used up.
  __device__ __forceinline__ void ask(const Items& items) const {
    Cursor cursor = items.begin(lane_);
    Asked asked{{0, 1}, 0, false, items.first_chunk, items.first_chunk};
    for (std::uint32_t index = 0; index < items.count; index += pipe_.teams) {
      const std::uint32_t num = min(pipe_.teams, items.count - index);
      ask_for_items(items, cursor, num, asked);
      items.advance(cursor, pipe_.teams);
    }
    if (items.count != 0) {
      ask_for_rows_up_to(items, items.last_chunk, asked);
    } else if constexpr (Sink::kIdsAreEarly) {
      wait_for_earlier_kernels();
    }
  }

  // Lane i asks for team i's item, of `num` ones.
  __device__ __forceinline__ void ask_for_items(const Items& items, const Cursor& cursor, std::uint32_t num,
                                                Asked& asked) const {
    const DecodeMatrices& matrices = call_.matrices;
    const std::uint8_t* from = nullptr;
    if (lane_ < num) {
      const std::uint64_t group = std::uint64_t{chunks_.expert(cursor.chunk)} * matrices.row_groups + cursor.row_group;
      from = matrices.data + group * matrices.num_tiles * kTileBytes;
    }
    for (std::uint32_t first = 0; first < matrices.num_tiles; first += pipe_.piece_tiles) {
      if (asked.num_stages == pipe_.stages && !asked.rows) ask_for_rows_up_to(items, asked.last_chunk, asked);
      const std::uint32_t num_bytes = min(pipe_.piece_tiles, matrices.num_tiles - first) * kTileBytes;
      const std::uint32_t full = stage_full(asked.stage.slot);
      wait(stage_empty(asked.stage.slot), asked.stage.parity);
      if (lane_ == 0) arrive_with_bytes(full, num * num_bytes);
      __syncwarp();
      if (lane_ < num) copy_bulk(base_ + stage_at(asked.stage.slot, lane_), from + first * kTileBytes, num_bytes, full);
      asked.stage.advance(pipe_.stages);
      ++asked.num_stages;
      if (first != 0) continue;
      asked.last_chunk = __shfl_sync(0xFFFFFFFFU, cursor.chunk, num - 1);
      const bool needs_rows = !pipe_.rows_stay && asked.last_chunk >= items.first_chunk + pipe_.row_buffers;
      if (asked.rows || needs_rows) ask_for_rows_up_to(items, asked.last_chunk, asked);
    }
  }

  const DecodeCall& call_;
  const DecodePipe& pipe_;
  const Sink& sink_;
  std::uint8_t* const shared_;
  const std::uint32_t base_;
  const std::uint32_t warp_;
  const std::uint32_t lane_;
  DecodeChunks<kSize> chunks_;
};

// A sink's kernel: blocks of pipe.num_threads() threads and pipe.num_bytes bytes.
template <class Sink, std::uint32_t kColumns>
__global__ void __maxnreg__(kColumns == 1 ? 48 : 64)
    decode_kernel(const __grid_constant__ DecodeCall call, const __grid_constant__ Sink sink) {
  extern __shared__ __align__(128) std::uint8_t shared[];
  DecodeBlock<Sink, kColumns>(call, sink, shared).run();
}

// For every launch on the current device: as much shared memory as a block can have.
template <class Kernel>
Status allow_shared_bytes(std::string_view name, Kernel kernel, const DeviceCaps& caps) {
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(caps.shared_bytes_per_block));
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, std::string(name),
               std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
}

}  // namespace nvfp4::kernels::cuda_sm90
