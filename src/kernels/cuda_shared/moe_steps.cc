#include "kernels/cuda_shared/moe_steps.h"

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/round_rows.h"

namespace nvfp4::kernels {

ExpertLayer routed_layer(const MoeProblem& problem, const DeviceMoeWeights& weights, const DeviceMoeArgs& args) {
  return {weights.experts, problem.intermediate, problem.num_experts, args.num_tokens * problem.top_k, false};
}
ExpertLayer shared_layer(const MoeProblem& problem, const DeviceMoeWeights& weights, const DeviceMoeArgs& args) {
  return {weights.shared, problem.shared_intermediate, 1, args.num_tokens, true};
}

ExpertLookup MoeSteps::lookup() const { return {args.expert_map, problem.num_ids(), problem.num_experts}; }

Status MoeSteps::sort(std::byte* workspace) const {
  SortByExpert sort;
  sort.num_tokens = args.num_tokens;
  sort.top_k = problem.top_k;
  sort.lookup = lookup();
  sort.expert_ids = args.expert_ids;
  sort.out = sorted;
  return sort_by_expert(sort, workspace, stream);
}

bool MoeSteps::has_row_of_pair(const ExpertLayer& layer) const { return !layer.is_shared && rounds_pairs(problem); }

Status MoeSteps::round_rows_of_fc1(const ExpertLayer& layer, Bf16Bits* values, float* factors) const {
  QuantizeActivations q;
  q.activation = problem.activation;
  q.rule = problem.input_rule;
  q.num_rows = args.num_tokens;
  q.in_features = problem.hidden;
  q.x = args.x;
  if (problem.activation == Activation::kNvfp4Static) q.input_scales = layer.weights.fc1_input_scale;
  if (has_row_of_pair(layer)) {
    q.num_rows = layer.num_rows;
    q.pair_of_row = sorted.pair_of_row;
    q.top_k = problem.top_k;
    q.expert_ids = args.expert_ids;
    q.lookup = lookup();
    if (problem.router_weight_on_input) q.router_weights = args.router_weights;
  }
  q.values = values;
  q.row_scale = factors;
  return quantize_activations(q, stream);
}

Status MoeSteps::round_h(const ExpertLayer& layer, const float* h, Bf16Bits* values, float* factors) const {
  RoundRows round;
  round.h = h;
  round.num_rows = layer.num_rows;
  round.num_cols = layer.intermediate;
  if (!layer.is_shared) {
    round.expert_ids = args.expert_ids;
    round.lookup = lookup();
  }
  if (problem.activation == Activation::kNvfp4Static) round.input_scales = layer.weights.fc2_input_scale;
  round.rule = problem.input_rule;
  round.values = values;
  round.factors = factors;
  return round_rows(round, stream);
}

}  // namespace nvfp4::kernels
