// The workspace of an MoE layer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_places.h"
#include "kernels/cuda_shared/moe_rounding.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels::cuda_sm80 {

// Places in the workspace.
struct MoeBuffers {
  Bf16Bits* h = nullptr;       // [rows, I]
  float* h_f32 = nullptr;      // [rows, I] not yet rounded, W4A4
  float* h_factors = nullptr;  // [rows]
  Bf16Bits* rows = nullptr;    // [rows of FC1, H] rounded
  float* row_factors = nullptr;
};

struct MoePlaces : WorkspacePlaces {
  SortedPairs sorted;
  std::byte* sort = nullptr;
  MoeBuffers routed, shared;
  float* partial = nullptr;         // [pairs, H]
  float* shared_partial = nullptr;  // [T, H]

  // data: null, to count.
  MoePlaces(const MoeProblem& p, std::uint32_t tokens, std::byte* data) : WorkspacePlaces(data) {
    const std::size_t pairs = std::size_t{tokens} * p.top_k;
    take(sorted.offsets, p.num_experts + 1);
    take(sorted.pair_of_row, pairs);
    take(sorted.row_of_pair, pairs);
    take(sort, sort_workspace_bytes(tokens, p.num_experts));
    place(p, p.intermediate, pairs, rounds_pairs(p) ? pairs : tokens, routed);
    take(partial, pairs * p.hidden);
    if (p.shared_intermediate == 0) return;
    place(p, p.shared_intermediate, tokens, tokens, shared);
    take(shared_partial, std::size_t{tokens} * p.hidden);
  }

 private:
  void place(const MoeProblem& p, std::uint32_t intermediate, std::size_t rows, std::size_t fc1_rows,
             MoeBuffers& buffers) {
    take(buffers.h, rows * intermediate);
    if (!is_rounded(p)) return;
    take(buffers.h_f32, rows * intermediate);
    take(buffers.h_factors, rows);
    take(buffers.rows, fc1_rows * p.hidden);
    take(buffers.row_factors, fc1_rows);
  }
};

}  // namespace nvfp4::kernels::cuda_sm80
