#include "kernels/cuda_sm80/linear_rows_plan.h"

#include "kernels/cuda_shared/quantize_activations.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

std::size_t aligned(std::size_t num_bytes) {
  return (num_bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

}  // namespace

bool has_code_for(std::uint32_t sm) { return sm / 10 == 8 || sm == 90 || sm == 120 || sm == 121; }

DeviceLinearPlan plan_without_workspace(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                        std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  plan.sizes.choice[1] = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
  return plan;
}

RowsLayer rows_layer(const DeviceLinearPlan& plan) {
  const DeviceLinearProblem& problem = plan.problem;
  RowsLayer layer;
  layer.out_features = problem.out_features;
  layer.in_features = problem.in_features;
  layer.weight_bytes = problem.weight == WeightFormat::kFp8 ? 1 : 2;
  layer.num_sms = plan.sizes.num_sms;
  layer.shared_bytes_per_block = plan.sizes.choice[0];
  layer.shared_bytes_per_sm = plan.sizes.choice[1];
  layer.batch_invariant = problem.batch_invariant;
  return layer;
}

std::string linear_refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps) {
  if (!has_code_for(caps.sm)) return "only for compute capabilities 8.x, 9.0, 12.0 and 12.1";
  if (std::string reason = device_linear_limits_refusal(problem); !reason.empty()) return reason;
  if (is_rounded(problem) && problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  return {};
}

std::string rows_refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (std::string reason = linear_refusal(problem, caps); !reason.empty()) return reason;
  const RowsLayer layer = rows_layer(plan_without_workspace(problem, caps, max_tokens));
  if (std::string reason = many_refusal(layer, max_tokens); !reason.empty()) return reason;
  const std::uint32_t needed = least_rows_bytes(layer);
  if (needed <= caps.shared_bytes_per_block) return {};
  return "a block needs " + std::to_string(needed) + " bytes of shared memory, the device has " +
         std::to_string(caps.shared_bytes_per_block);
}

RowsWorkspace rows_workspace(const DeviceLinearPlan& plan) {
  RowsWorkspace places;
  places.values_at = plan.sizes.zeroed_bytes;
  places.factors_at = places.values_at;
  places.parts_at = places.values_at;
  if (!is_rounded(plan.problem)) return places;
  const std::size_t max_tokens = plan.sizes.max_tokens;
  places.factors_at += aligned(max_tokens * plan.problem.in_features * sizeof(Bf16Bits));
  places.parts_at = places.factors_at + aligned(max_tokens * sizeof(float));
  return places;
}

void add_workspace(DeviceLinearPlan& plan, const TileNeeds& needs) {
  plan.sizes.zeroed_bytes = aligned(needs.num_arrivals * sizeof(std::uint32_t));
  plan.sizes.workspace_bytes = rows_workspace(plan).parts_at + needs.part_floats * sizeof(float);
}

DeviceLinearPlan rows_plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan = plan_without_workspace(problem, caps, max_tokens);
  add_workspace(plan, rows_needs(rows_layer(plan), max_tokens));
  return plan;
}

RowsGrid rows_grid(const DeviceLinearPlan& plan, const TileChoice& tiles, const DeviceWorkspace& workspace) {
  RowsGrid grid{tiles.row_tiles,
                tiles.token_tiles,
                tiles.steps,
                tiles.span_steps(),
                tiles.num_splits,
                tiles.span_steps() / tiles.num_splits,
                tiles.span_steps() % tiles.num_splits,
                tiles.parts_per_block()};
  grid.arrivals = reinterpret_cast<std::uint32_t*>(workspace.data);
  grid.partials = reinterpret_cast<float*>(workspace.data + rows_workspace(plan).parts_at);
  return grid;
}

}  // namespace nvfp4::kernels::cuda_sm80
