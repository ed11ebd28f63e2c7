// Places in the workspace of an MoE layer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/contract/device_places.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels::cuda_sm120 {

// A row of FC1 is rounded for each pair: experts have scales of their own, or the router's weight comes first.
[[nodiscard]] inline bool rounds_pairs(const MoeProblem& p) {
  return (p.activation == Activation::kNvfp4Static && !p.one_fc1_input_scale) || p.router_weight_on_input;
}
// h is rounded by a kernel between FC1 and FC2, which sees whole rows.
[[nodiscard]] inline bool rounds_rows_of_h(const MoeProblem& p) { return p.activation == Activation::kNvfp4Dynamic; }

// Of the routed experts, or of the shared one.
struct ExpertBuffers {
  std::uint64_t num_x = 0;  // rows of FC1
  std::uint8_t* x = nullptr;
  float* x_factors = nullptr;
  std::uint64_t num_h = 0;  // rows of FC2
  std::uint8_t* h = nullptr;
  float* h_f32 = nullptr;      // [num_h, I] not yet rounded
  float* h_factors = nullptr;  // [num_h]
  float* partial = nullptr;    // [num_h, H]
};

struct MoeWorkspace : WorkspacePlaces {
  SortedPairs sorted;
  std::byte* sort = nullptr;
  ExpertBuffers routed, shared;

  // data: null, to count.
  MoeWorkspace(const MoeProblem& problem, std::uint32_t num_tokens, std::byte* data);

 private:
  void place(const MoeProblem& problem, std::uint32_t intermediate, ExpertBuffers& buffers);
};

}  // namespace nvfp4::kernels::cuda_sm120
