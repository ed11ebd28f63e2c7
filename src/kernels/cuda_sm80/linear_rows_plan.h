// What the host does for linear layers, whatever the weights: refusals, memory, and the call.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/contract/device_linear.h"
#include "kernels/cuda_sm80/linear_rows_call.h"
#include "kernels/cuda_sm80/linear_rows_choice.h"

namespace nvfp4::kernels::cuda_sm80 {

// Of what the room is compiled for.
[[nodiscard]] bool has_code_for(std::uint32_t sm);
// For any weights, and for those in rows.
[[nodiscard]] std::string linear_refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps);
[[nodiscard]] std::string rows_refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                       std::uint32_t max_tokens);

// Places in the workspace of a plan: arrivals (0 between two runs) are first, then rounded activations BF16 [T, K] with
// float32 [T], then parts.
struct RowsWorkspace {
  std::size_t values_at = 0, factors_at = 0, parts_at = 0;
};
[[nodiscard]] RowsWorkspace rows_workspace(const DeviceLinearPlan& plan);

// Of choice, shared bytes that a block may have, and that there are.
[[nodiscard]] DeviceLinearPlan plan_without_workspace(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                                      std::uint32_t max_tokens);
void add_workspace(DeviceLinearPlan& plan, const TileNeeds& needs);
[[nodiscard]] RowsGrid rows_grid(const DeviceLinearPlan& plan, const TileChoice& tiles,
                                 const DeviceWorkspace& workspace);

[[nodiscard]] RowsLayer rows_layer(const DeviceLinearPlan& plan);
// Of what rows_refusal() does not refuse.
[[nodiscard]] DeviceLinearPlan rows_plan(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                         std::uint32_t max_tokens);

// Rounds the activations if they are not x itself, and says what to multiply. num_tokens is above 0.
[[nodiscard]] Result<RowsCall> begin_rows(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                                          const DeviceLinearArgs& args, const DeviceWorkspace& workspace,
                                          DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm80
