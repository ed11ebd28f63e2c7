// What a block of the kernels for one token does. Its work is a list of items: 16 rows of a matrix and all of K.
// `split` warps share an item, each with a part of K, and every warp has its own slots in shared memory, for its parts
// of so many items: it asks for all of them at once, before the kernels ahead have ended where it knows the matrix, and
// for more as soon as it has multiplied one. A Sink says what becomes of the sums, and who copies: threads begin
// sooner, but hold up their reads of shared memory when the memory is busy, as in long lists. Bound: latency, then
// memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_sm90/linear_decode_one.h"
#include "kernels/cuda_sm90/linear_decode_tiles.cuh"
#include "kernels/cuda_sm90/moe_decode_chunks.cuh"
#include "kernels/cuda_sm90/rounded_octets.cuh"

namespace nvfp4::kernels::cuda_sm90 {

struct OneTokenCall {
  OneTokenPipe pipe;
  const std::uint8_t* matrices = nullptr;  // [experts][row_groups][num_tiles][576]
  std::uint32_t row_groups = 0;
  std::uint32_t num_cols = 0;      // K, a multiple of 16
  const Bf16Bits* rows = nullptr;  // [1 or pairs, K]
  DecodePairs pairs;
  std::uint32_t sixteen = 16;  // see decode_row_scales()
};

template <class Sink>
class OneTokenBlock {
  static constexpr std::uint32_t kLanes = 0xFFFFFFFFU;
  static constexpr std::uint32_t kRows = 16;
  static constexpr bool kByThreads = Sink::kCopiesByThreads;
  // Warps with the same part of K have one copy of its columns: a row is few lines of the L2 cache, which all
  // multiprocessors read at once.
  static constexpr bool kSharesRow = !Sink::kAddsItems && !Sink::kRoundsRow;

 public:
  __device__ __forceinline__ OneTokenBlock(const OneTokenCall& call, const Sink& sink, std::uint8_t* shared)
      : call_(call),
        pipe_(call.pipe),
        sink_(sink),
        shared_(shared),
        base_(shared_address(shared)),
        warp_(__shfl_sync(kLanes, threadIdx.x / 32, 0)),
        lane_(threadIdx.x % 32),
        team_(warp_ >> pipe_.split_shift),
        first_tile_(first_tile_of(part())),
        num_tiles_(first_tile_of(part() + 1) - first_tile_),
        own_slots_(warp_ * pipe_.slots * pipe_.part_tiles * kTileBytes),
        slot_bytes_(pipe_.part_tiles * kTileBytes) {
    // Computed once: a warp has few items, of few tiles each.
    pin(first_tile_), pin(num_tiles_), pin(own_slots_), pin(slot_bytes_);
  }

  __device__ __forceinline__ void run() {
    touch_parameters(call_);
    touch_parameters(sink_);
    if constexpr (Sink::kAddsItems) {
      count_ = call_.pairs.num_pairs;
    } else {
      first_ = (blockIdx.x * pipe_.block_units + min(blockIdx.x, pipe_.larger_blocks)) << pipe_.unit_shift;
      count_ = (pipe_.block_units + (blockIdx.x < pipe_.larger_blocks ? 1 : 0)) << pipe_.unit_shift;
    }
    own_items_ = team_ < count_ ? (count_ - team_ + pipe_.teams() - 1) >> pipe_.teams_shift() : 0;
    // A lane knows every 32nd of the warp's items.
    item_ = item_of(min(team_ + lane_ * pipe_.teams(), count_ - 1));
    if constexpr (!kByThreads) {
      if (lane_ < pipe_.slots) init_barrier(slot_full(lane_), 1);
      publish_barriers();
      __syncwarp();
    }
    first_part_ = part_in_first_expert(item_);
    if constexpr (!Sink::kWaitsForIds) {
      let_next_kernel_start();
      ask_for_first(expert_of_pair(item_.pair));
    }
    start();
    multiply();
  }

  // For sinks.
  struct Item {
    std::uint32_t pair, row_group;
  };
  __device__ __forceinline__ Item item_of(std::uint32_t index) const {
    if constexpr (Sink::kAddsItems) return {index, blockIdx.x};
    if (call_.pairs.ids == nullptr) return {0, first_ + index};
    const std::uint32_t pair = (first_ + index) / call_.row_groups;
    return {pair, first_ + index - pair * call_.row_groups};
  }
  __device__ __forceinline__ std::uint32_t num_items() const { return count_; }
  __device__ __forceinline__ std::uint32_t expert_of_pair(std::uint32_t pair) const {
    return call_.pairs.ids == nullptr ? 0 : expert_of(call_.pairs, pair);
  }
  // The pair of the warp's turn.
  __device__ __forceinline__ std::uint32_t pair_of_turn(std::uint32_t turn) const {
    return team_ + turn * pipe_.teams();
  }
  // The sum of a row of item `index` of a group, over the warps that shared it.
  __device__ __forceinline__ float sum_of(std::uint32_t index, std::uint32_t row) const {
    const float* const from = sums() + (index << pipe_.split_shift) * kRows + row;
    float parts[kOneTokenWarps];
#pragma unroll
    for (std::uint32_t i = 0; i < kOneTokenWarps; ++i) parts[i] = i < pipe_.split() ? from[i * kRows] : 0.0F;
#pragma unroll
    for (std::uint32_t step = 1; step < kOneTokenWarps; step *= 2) {
#pragma unroll
      for (std::uint32_t i = 0; i < kOneTokenWarps; i += 2 * step) parts[i] += parts[i + step];
    }
    return parts[0];
  }
  // The sum of a row over all warps, where each has added up its items.
  __device__ __forceinline__ float sum_of_warps(std::uint32_t row) const {
    float sum = 0.0F;
#pragma unroll
    for (std::uint32_t warp = 0; warp < kOneTokenWarps; ++warp) sum += sums()[warp * kRows + row];
    return sum;
  }

 private:
  __device__ __forceinline__ void ask_for_first(std::uint32_t expert) {
    from_ = lane_ < own_items_ ? part_in(expert, first_part_) : nullptr;
    here_ = call_.pairs.ids == nullptr ? kLanes : __ballot_sync(kLanes, from_ != nullptr);
    if constexpr (kByThreads) {
#pragma unroll 1
      for (std::uint32_t slot = 0; slot < pipe_.slots; ++slot) copy(slot, slot);
    } else if (lane_ < min(pipe_.slots, own_items_)) {
      ask(lane_, from_);
    }
    early_ = sink_.early(*this, 0);
    sink_.look_up(*this, early_);
  }
  // What follows when the kernels ahead have ended.
  __device__ __forceinline__ void start() {
    RowScale row;
    if constexpr (Sink::kRoundsRow) row = sink_.row_scale();
    wait_for_earlier_kernels();
    std::uint32_t expert = 0;
    if constexpr (Sink::kWaitsForIds) expert = expert_of_pair(item_.pair);  // on its way while the row is asked for
    copy_rows();
    if constexpr (Sink::kWaitsForIds) {
      ask_for_first(expert);
      if (!lets_next_start_later()) let_next_kernel_start();
    }
    if constexpr (!Sink::kWaitsForIds) sink_.look_up_late(*this, early_);
    if constexpr (!kByThreads) {
      wait_for_all_copies();
    } else if constexpr (kSharesRow || Sink::kRoundsRow) {
      wait_for_first_copies(pipe_.slots);  // weights are on their way meanwhile
    }
    if constexpr (Sink::kRoundsRow) round_octets(shared_ + (row_at(0) - base_), num_tiles_ * 8, row);
    if (kSharesRow && pipe_.teams() != 1) {
      sync_warps(1 + part(), 32 * pipe_.teams());
    } else {
      __syncwarp();
    }
  }
  // When the weights of the second turn are here, if the block has one: the next kernel's start takes time from this
  // kernel, and its weights would come before those of the turns to come.
  [[nodiscard]] __device__ __forceinline__ bool lets_next_start_later() const {
    return Sink::kWaitsForIds && count_ > pipe_.teams();
  }
  // Of K.
  __device__ __forceinline__ std::uint32_t part() const { return warp_ & (pipe_.split() - 1); }
  __device__ __forceinline__ std::uint32_t first_tile_of(std::uint32_t part) const {
    return pipe_.num_tiles * part >> pipe_.split_shift;
  }
  __device__ __forceinline__ std::uint32_t slot_full(std::uint32_t slot) const {
    return base_ + pipe_.barriers_at + 8 * (warp_ * pipe_.slots + slot);
  }
  __device__ __forceinline__ std::uint32_t slot_at(std::uint32_t slot) const { return own_slots_ + slot * slot_bytes_; }
  __device__ __forceinline__ std::uint32_t row_at(std::uint32_t turn) const {
    const std::uint32_t place = Sink::kAddsItems ? turn * kOneTokenWarps + warp_ : kSharesRow ? part() : warp_;
    return base_ + pipe_.rows_at + place * pipe_.part_tiles * kTileColumnBytes;
  }
  // Only the list of one matrix is longer than a warp.
  __device__ __forceinline__ bool is_here(std::uint32_t turn) const { return (here_ >> turn % 32 & 1) != 0; }
  __device__ __forceinline__ float* sums() const { return reinterpret_cast<float*>(shared_ + pipe_.sums_at); }

  // The warp's part of an item, null where the expert is not here.
  __device__ __forceinline__ const std::uint8_t* matrix_of(const Item& item) const {
    return part_in(expert_of_pair(item.pair), part_in_first_expert(item));
  }
  __device__ __forceinline__ const std::uint8_t* part_in_first_expert(const Item& item) const {
    return call_.matrices + std::uint64_t{item.row_group * pipe_.num_tiles + first_tile_} * kTileBytes;
  }
  __device__ __forceinline__ const std::uint8_t* part_in(std::uint32_t expert, const std::uint8_t* in_first) const {
    if (expert == kNoExpert) return nullptr;
    return in_first + std::uint64_t{expert} * (call_.row_groups * pipe_.num_tiles) * kTileBytes;
  }
  // Two ways: by the warp, a group of copies for each turn,
  __device__ __forceinline__ void copy(std::uint32_t slot, std::uint32_t turn) {
    if (turn < own_items_) {
      if (turn != 0 && turn % 32 == 0) {
        from_ = matrix_of(item_of(min(team_ + (turn + lane_) * pipe_.teams(), count_ - 1)));
      }
      const auto own = reinterpret_cast<std::uint64_t>(from_);
      const std::uint64_t from = __shfl_sync(kLanes, own, static_cast<int>(turn % 32));
      if (from != 0) {
        copy_by_warp(base_ + slot_at(slot), reinterpret_cast<const std::uint8_t*>(from), num_tiles_ * kTileBytes);
      }
    }
    end_copies();
  }
  // or by the copy engine, asked by one lane.
  __device__ __forceinline__ void ask(std::uint32_t slot, const std::uint8_t* from) const {
    if (from == nullptr || num_tiles_ == 0) {
      arrive(slot_full(slot));
      return;
    }
    arrive_expecting(slot_full(slot), num_tiles_ * kTileBytes);
    copy_bulk_once(base_ + slot_at(slot), from, num_tiles_ * kTileBytes, slot_full(slot));
  }
  __device__ __forceinline__ void wait_for(std::uint32_t slot, std::uint32_t parity) const {
    if constexpr (kByThreads) {
      wait_for_oldest_copies(pipe_.slots);
      __syncwarp();
    } else {
      wait_in_loop(slot_full(slot), parity);
    }
  }
  __device__ __forceinline__ void refill(std::uint32_t slot, std::uint32_t turn) {
    if constexpr (kByThreads) {
      copy(slot, turn);
    } else if (turn < own_items_ && lane_ == turn % 32) {
      if (turn >= 32) from_ = matrix_of(item_of(team_ + turn * pipe_.teams()));
      ask(slot, from_);
    }
  }

  // The columns that the warp needs.
  __device__ __forceinline__ void copy_rows() const {
    const std::uint32_t turns = Sink::kAddsItems ? own_items_ : 1;
    for (std::uint32_t turn = 0; turn < turns; ++turn) {
      if (Sink::kAddsItems && !is_here(turn)) continue;
      const Bf16Bits* from = call_.rows + first_tile_ * 64;
      if constexpr (Sink::kAddsItems) from += pair_of_turn(turn) * call_.num_cols;
      for (std::uint32_t i = lane_; i < num_tiles_ * 8; i += 32) {
        if (kSharesRow && (i / 32 & (pipe_.teams() - 1)) != team_) continue;
        const bool is_there = first_tile_ * 64 + i * 8 < call_.num_cols;
        copy_16_bytes(row_at(turn) + i * 16, is_there ? from + i * 8 : call_.rows, is_there ? 16 : 0);
      }
    }
    if constexpr (kByThreads) end_copies();
  }

  __device__ __forceinline__ void multiply() {
    // Teams pass the same number of turns, as they meet after some.
    const std::uint32_t turns = (count_ + pipe_.teams() - 1) >> pipe_.teams_shift();
    std::uint32_t slot = 0;
    std::uint32_t parity = 0;
    std::uint32_t in_group = 0;
    float2 added = {0.0F, 0.0F};
    for (std::uint32_t turn = 0; turn < turns; ++turn) {
      if (turn < own_items_) {
        wait_for(slot, parity);
        if (Sink::kWaitsForIds && turn == 1) let_next_kernel_start();
        TileSums<1> sums;
        const std::uint32_t rows[1] = {row_at(turn) + lane_ / 8 * 16};
        if (is_here(turn)) multiply_tiles<1>(shared_ + slot_at(slot), num_tiles_, rows, 0, call_.sixteen, sums);
        __syncwarp();
        refill(slot, turn + pipe_.slots);
        const float4 total = sums.total(0);
        if constexpr (Sink::kAddsItems) {
          const float factor = __shfl_sync(kLanes, early_.factor, static_cast<int>(turn));
          added.x = __fmaf_rn(factor, total.x, added.x);
          added.y = __fmaf_rn(factor, total.z, added.y);
        } else {
          put_sums(in_group, {total.x, total.z});
        }
        if (++slot == pipe_.slots) {
          slot = 0;
          parity ^= 1;
        }
      }
      if constexpr (!Sink::kAddsItems) {
        if (++in_group != kOneTokenGroup && turn + 1 != turns) continue;
        __syncthreads();
        const std::uint32_t first = (turn + 1 - in_group) << pipe_.teams_shift();
        sink_.finish(*this, first, min(in_group << pipe_.teams_shift(), count_ - first), early_);
        if (turn + 1 == turns) break;
        __syncthreads();
        early_ = sink_.early(*this, (turn + 1) << pipe_.teams_shift());
        sink_.look_up(*this, early_);
        if constexpr (!Sink::kWaitsForIds) sink_.look_up_late(*this, early_);
        in_group = 0;
      }
    }
    if constexpr (Sink::kAddsItems) {
      put_sums(0, added);
      __syncthreads();
      sink_.finish(*this, early_);
    }
  }
  // Of rows g and g + 8, of which four lanes have the same.
  __device__ __forceinline__ void put_sums(std::uint32_t turn, const float2& of_rows) const {
    if (lane_ % 4 != 0) return;
    float* const to = sums() + (turn * kOneTokenWarps + warp_) * kRows + lane_ / 4;
    to[0] = of_rows.x;
    to[8] = of_rows.y;
  }

  const OneTokenCall& call_;
  const OneTokenPipe& pipe_;
  const Sink& sink_;
  std::uint8_t* const shared_;
  const std::uint32_t base_;
  const std::uint32_t warp_;
  const std::uint32_t lane_;
  const std::uint32_t team_;
  std::uint32_t first_tile_;
  std::uint32_t num_tiles_;
  std::uint32_t own_slots_;
  std::uint32_t slot_bytes_;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t own_items_ = 0;
  Item item_;
  const std::uint8_t* first_part_ = nullptr;  // of the lane's first item, if its expert were the first one
  const std::uint8_t* from_ = nullptr;
  std::uint32_t here_ = 0;  // bit i: turn i's expert
  typename Sink::Early early_;
};

// Two such blocks fit on a multiprocessor.
template <class Sink>
__global__ void __launch_bounds__(kOneTokenThreads, 2)
    one_token_kernel(const __grid_constant__ OneTokenCall call, const __grid_constant__ Sink sink) {
  OneTokenBlock<Sink>(call, sink, dynamic_shared()).run();
}

}  // namespace nvfp4::kernels::cuda_sm90
