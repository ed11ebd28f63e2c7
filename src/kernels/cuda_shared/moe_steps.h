// What surrounds the two products of a mixture-of-experts layer whose pairs are sorted by expert: the sort, the
// rounding of their inputs, and the sum.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_shared/combine_experts.h"
#include "kernels/cuda_shared/moe_rounding.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels {

// The routed experts, or the shared one, to which every token goes.
struct ExpertLayer {
  const DeviceExperts& weights;
  std::uint32_t intermediate = 0, num_experts = 0, num_rows = 0;
  bool is_shared = false;
};
[[nodiscard]] ExpertLayer routed_layer(const MoeProblem& problem, const DeviceMoeWeights& weights,
                                       const DeviceMoeArgs& args);
[[nodiscard]] ExpertLayer shared_layer(const MoeProblem& problem, const DeviceMoeWeights& weights,
                                       const DeviceMoeArgs& args);

// num_tokens is above 0.
struct MoeSteps {
  const MoeProblem& problem;
  const DeviceMoeArgs& args;
  SortedPairs sorted;
  DeviceStream stream;

  [[nodiscard]] ExpertLookup lookup() const;
  [[nodiscard]] Status sort(std::byte* workspace) const;
  // Of rows of FC1; of each pair, in the order of the sort, where rounds_pairs(), else of each token.
  [[nodiscard]] bool has_row_of_pair(const ExpertLayer& layer) const;
  [[nodiscard]] Status round_rows_of_fc1(const ExpertLayer& layer, Bf16Bits* values, float* factors) const;
  // Of h [pairs, I], or of the shared expert [T, I].
  [[nodiscard]] Status round_h(const ExpertLayer& layer, const float* h, Bf16Bits* values, float* factors) const;
  // Into a CombineExperts, or what has the same members; but for the partial results of pairs.
  template <class Combine>
  [[nodiscard]] Combine combination(const float* shared_partial) const {
    Combine combine;
    combine.num_tokens = args.num_tokens;
    combine.top_k = problem.top_k;
    combine.hidden = problem.hidden;
    combine.row_of_pair = sorted.row_of_pair;
    combine.router_weights = problem.router_weight_on_input ? nullptr : args.router_weights;
    combine.shared = shared_partial;
    combine.shared_weights = args.shared_weights;
    combine.y = args.y;
    return combine;
  }
};

}  // namespace nvfp4::kernels
