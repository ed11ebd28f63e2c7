// The workspace of an MoE layer for many tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/host_device.h"
#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_places.h"
#include "kernels/cuda_shared/moe_rounding.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::size_t kImageRowBytes = 128;                           // of one token in a tile of 64
inline constexpr std::size_t kMaxFloatPartialBytes = std::size_t{40} << 20;  // what the L2 cache holds beside others

// Tokens of a tile of FC1: as few as hold most experts' tokens at once, as decoding is the same for any number.
[[nodiscard]] constexpr std::uint32_t expert_columns(std::uint32_t num_rows, std::uint32_t num_experts) {
  const std::uint32_t average = num_rows / num_experts;
  return average <= 18 ? 32 : average <= 50 ? 64 : 128;
}

// Rows of an array where every expert starts at a multiple of 8 for `num_rows` sorted rows of `num_experts` experts.
[[nodiscard]] NVFP4_HD constexpr std::uint64_t num_image_rows(std::uint64_t num_rows, std::uint64_t num_experts) {
  return (num_rows + 7) / 8 * 8 + 8 * num_experts;
}

// h is rounded by a kernel between FC1 and FC2, which sees whole rows.
[[nodiscard]] inline bool rounds_rows_of_h(const MoeProblem& p) { return p.activation == Activation::kNvfp4Dynamic; }

[[nodiscard]] inline std::size_t float_partial_bytes(const MoeProblem& p, std::uint32_t tokens) {
  return std::size_t{tokens} * p.top_k * p.hidden * sizeof(float);
}
[[nodiscard]] inline bool pairs_partials(const MoeProblem& p, std::uint32_t tokens) {
  return !p.batch_invariant && float_partial_bytes(p, tokens) > kMaxFloatPartialBytes;
}

// Places in the workspace.
struct MoeWgmmaBuffers {
  std::uint8_t* image = nullptr;  // BF16 h as FC2 copies it, or
  std::uint64_t image_rows = 0;
  float* h_f32 = nullptr;      // [rows, I] not yet rounded
  Bf16Bits* h = nullptr;       // [rows, I] rounded
  float* h_factors = nullptr;  // [rows]
  Bf16Bits* rows = nullptr;    // [rows of FC1, H] rounded
  float* row_factors = nullptr;
};

struct MoeWgmmaPlaces : WorkspacePlaces {
  SortedPairs sorted;
  std::byte* sort = nullptr;
  MoeWgmmaBuffers routed, shared;
  std::byte* partial = nullptr;
  float* partial_scales = nullptr;  // [T * k]
  float* shared_partial = nullptr;  // [T, H]

  // data: null, to count.
  MoeWgmmaPlaces(const MoeProblem& p, std::uint32_t tokens, std::byte* data) : WorkspacePlaces(data) {
    const std::size_t pairs = std::size_t{tokens} * p.top_k;
    take(sorted.offsets, p.num_experts + 1);
    take(sorted.pair_of_row, pairs);
    take(sorted.row_of_pair, pairs);
    take(sort, sort_workspace_bytes(tokens, p.num_experts));
    place(p, p.intermediate, pairs, p.num_experts, rounds_pairs(p) ? pairs : tokens, routed);
    const std::size_t floats = float_partial_bytes(p, tokens);
    const std::size_t most_floats = p.batch_invariant ? floats : std::min(floats, kMaxFloatPartialBytes);
    take(partial, std::max(most_floats, pairs_partials(p, tokens) ? floats / 2 : 0));
    take(partial_scales, pairs);
    if (p.shared_intermediate == 0) return;
    place(p, p.shared_intermediate, tokens, 1, tokens, shared);
    take(shared_partial, std::size_t{tokens} * p.hidden);
  }

 private:
  void place(const MoeProblem& p, std::uint32_t intermediate, std::size_t rows, std::uint32_t num_experts,
             std::size_t fc1_rows, MoeWgmmaBuffers& buffers) {
    if (rounds_rows_of_h(p)) {
      take(buffers.h_f32, rows * intermediate);
      take(buffers.h, rows * intermediate);
      take(buffers.h_factors, rows);
    } else {
      buffers.image_rows = num_image_rows(rows, num_experts);
      take(buffers.image, (intermediate + 63) / 64 * buffers.image_rows * kImageRowBytes);
    }
    if (!is_rounded(p)) return;
    take(buffers.rows, fc1_rows * p.hidden);
    take(buffers.row_factors, fc1_rows);
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
