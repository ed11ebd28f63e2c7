// router_topk_warp: kernels/contract/device_routing.h, a warp for each token; alone, or together with the sort of its
// pairs by expert.
//
//   softmax without bias and groups chooses by the logits themselves; equal ones: the lower expert
//   NaN is above all numbers: it is chosen, so that it is seen
//   sums over chosen experts go in the order of the slots, sums over all experts in integers: no sum depends on the
//   numbers of the experts
#pragma once

#include <cstddef>

#include "kernels/contract/device_routing.h"
#include "kernels/cuda_shared/sort_by_expert.h"

namespace nvfp4::kernels {

[[nodiscard]] const DeviceRouterKernel& router_topk_warp();

// Experts, weights, and the order of sort_by_expert.h, in one kernel up to 128 tokens (16 on devices without clusters),
// in two above. No two ids may have the same place. num_tokens is above 0; the workspace has sort_workspace_bytes().
[[nodiscard]] Status route_and_sort(const RouterProblem& problem, const DeviceRouterArgs& args,
                                    const ExpertLookup& lookup, const SortedPairs& out, std::byte* workspace,
                                    DeviceStream stream);

}  // namespace nvfp4::kernels
