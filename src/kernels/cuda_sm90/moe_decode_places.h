// The workspace of an MoE layer for few tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_places.h"
#include "kernels/cuda_shared/moe_rounding.h"
#include "kernels/cuda_sm90/moe_decode_choice.h"

namespace nvfp4::kernels::cuda_sm90 {

// For the routed experts or the shared one.
struct MoeDecodeBuffers {
  Bf16Bits* rows = nullptr;      // [rows, H] rounded
  float* row_factors = nullptr;  // [rows]
  float* h_f32 = nullptr;        // [pairs, I] not yet rounded
  Bf16Bits* h = nullptr;         // [pairs, I]
  float* h_factors = nullptr;    // [pairs]
  float* partial = nullptr;      // [pairs, H]
};

struct MoeDecodePlaces : WorkspacePlaces {
  MoeDecodeBuffers routed, shared;
  std::int32_t* row_of_pair = nullptr;  // [pairs]

  MoeDecodePlaces(const MoeProblem& p, std::uint32_t tokens, std::byte* data) : WorkspacePlaces(data) {
    take(row_of_pair, std::size_t{tokens} * p.top_k);
    place(p, routed_expert(p), tokens, routed);
    if (p.shared_intermediate != 0) place(p, shared_expert(p), tokens, shared);
  }

 private:
  void place(const MoeProblem& p, const DecodeExpert& e, std::uint32_t tokens, MoeDecodeBuffers& buffers) {
    const std::size_t num_pairs = e.num_pairs(tokens);
    if (is_rounded(p)) {
      take(buffers.rows, std::size_t{e.num_rows(tokens)} * e.hidden);
      take(buffers.row_factors, e.num_rows(tokens));
      take(buffers.h_f32, num_pairs * e.intermediate);
      take(buffers.h_factors, num_pairs);
    }
    take(buffers.h, num_pairs * e.intermediate);
    take(buffers.partial, num_pairs * e.hidden);
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
