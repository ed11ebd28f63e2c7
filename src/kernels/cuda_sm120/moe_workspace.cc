#include "kernels/cuda_sm120/moe_workspace.h"

#include "layouts/quantized_rows_256.h"

namespace nvfp4::kernels::cuda_sm120 {

MoeWorkspace::MoeWorkspace(const MoeProblem& problem, std::uint32_t num_tokens, std::byte* data)
    : WorkspacePlaces(data) {
  const std::size_t pairs = std::size_t{num_tokens} * problem.top_k;
  take(sorted.offsets, problem.num_experts + 1);
  take(sorted.pair_of_row, pairs);
  take(sorted.row_of_pair, pairs);
  take(sort, sort_workspace_bytes(num_tokens, problem.num_experts));
  routed.num_x = rounds_pairs(problem) ? pairs : num_tokens;
  routed.num_h = pairs;
  place(problem, problem.intermediate, routed);
  if (problem.shared_intermediate == 0) return;
  shared.num_x = num_tokens;
  shared.num_h = num_tokens;
  place(problem, problem.shared_intermediate, shared);
}

void MoeWorkspace::place(const MoeProblem& problem, std::uint32_t intermediate, ExpertBuffers& buffers) {
  take(buffers.x, QuantizedRows256::num_bytes(buffers.num_x, problem.hidden));
  take(buffers.x_factors, buffers.num_x);
  take(buffers.h, QuantizedRows256::num_bytes(buffers.num_h, intermediate));
  take(buffers.partial, buffers.num_h * problem.hidden);
  if (!rounds_rows_of_h(problem)) return;
  take(buffers.h_f32, buffers.num_h * intermediate);
  take(buffers.h_factors, buffers.num_h);
}

}  // namespace nvfp4::kernels::cuda_sm120
