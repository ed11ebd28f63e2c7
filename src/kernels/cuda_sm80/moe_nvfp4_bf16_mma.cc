// A mixture-of-experts layer for any number of tokens: pairs of tokens and experts are sorted by expert; FC1 gathers
// rows of x and writes act(gate, up); FC2 writes a partial result of each pair in float32; a last kernel adds them up.
// A shared expert comes first, as two kernels of its own. W4A4 activations become numbers that are exact in BF16: x by
// a kernel before FC1, h by one between the two. Order of sums and bounds: fragment_products.cuh.
#include "kernels/cuda_sm80/moe_nvfp4_bf16_mma.h"

#include "kernels/cuda_shared/moe_steps.h"
#include "kernels/cuda_sm80/fragment_choice.h"
#include "kernels/cuda_sm80/moe_fragments.h"
#include "kernels/cuda_sm80/moe_places.h"
#include "kernels/cuda_sm80/offers.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr const char* kName = "moe_nvfp4_bf16_mma";

struct Call {
  const MoeProblem& problem;
  const MoePlaces workspace;
  const MoeSteps steps;
  const std::uint32_t num_sms;
};

std::uint32_t shape_of(const Call& c, const ExpertProduct& product) {
  return choose_expert_shape(
      {product.num_rows, product.num_experts, product.row_groups, c.num_sms, c.problem.batch_invariant});
}

ExpertProduct product_of(const Call& c, const ExpertLayer& layer) {
  ExpertProduct product;
  product.offsets = layer.is_shared ? nullptr : c.workspace.sorted.offsets;
  product.num_experts = layer.num_experts;
  product.num_rows = layer.num_rows;
  return product;
}

Status run_fc1(const Call& c, const ExpertLayer& layer, const MoeBuffers& buffers) {
  const MoeProblem& p = c.problem;
  const std::int32_t* pair_of_row = layer.is_shared ? nullptr : c.workspace.sorted.pair_of_row;
  ExpertUp up;
  up.product = product_of(c, layer);
  up.product.weights = layer.weights.gate_up;
  up.product.row_groups = (p.gated() ? 2 : 1) * layer.intermediate / 16;
  up.product.in_features = p.hidden;
  up.product.x = c.steps.args.x;
  up.product.pair_of_row = pair_of_row;
  up.product.top_k = p.top_k;
  if (is_rounded(p)) {
    NVFP4_RETURN_IF_ERROR(c.steps.round_rows_of_fc1(layer, buffers.rows, buffers.row_factors));
    up.product.x = buffers.rows;
    up.product.row_factors = buffers.row_factors;
    if (c.steps.has_row_of_pair(layer)) up.product.pair_of_row = nullptr;
    up.h_f32 = buffers.h_f32;
    up.pair_of_h = pair_of_row;
  } else if (!layer.is_shared && p.router_weight_on_input) {
    up.product.pair_factors = c.steps.args.router_weights;
  }
  up.gate_scale2 = p.gated() ? layer.weights.gate_scale2 : nullptr;
  up.up_scale2 = layer.weights.up_scale2;
  up.function = p.function;
  up.alpha = p.swiglu_alpha;
  up.beta = p.swiglu_beta;
  up.limit = p.swiglu_limit;
  up.intermediate = layer.intermediate;
  up.h = buffers.h;
  return run_expert_up(kName, shape_of(c, up.product), up, c.steps.stream);
}

Status run_fc2(const Call& c, const ExpertLayer& layer, const MoeBuffers& buffers) {
  ExpertDown down;
  down.product = product_of(c, layer);
  down.product.weights = layer.weights.down;
  down.product.row_groups = c.problem.hidden / 16;
  down.product.in_features = layer.intermediate;
  down.product.x = buffers.h;
  if (is_rounded(c.problem)) {
    NVFP4_RETURN_IF_ERROR(c.steps.round_h(layer, buffers.h_f32, buffers.h, buffers.h_factors));
    if (!layer.is_shared) down.product.pair_of_row = c.workspace.sorted.pair_of_row;
    down.product.row_factors = buffers.h_factors;
  }
  down.scale2 = layer.weights.down_scale2;
  down.partial = layer.is_shared ? c.workspace.shared_partial : c.workspace.partial;
  return run_expert_down(kName, shape_of(c, down.product), down, c.steps.stream);
}

Result<DeviceMoePlan> plan(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceMoePlan plan = moe_nvfp4_bf16_mma_offer().outline(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR(allow_expert_up(kName));
  NVFP4_RETURN_IF_ERROR(allow_expert_down(kName));
  return plan;
}

Status run(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_moe_call(plan, weights, args, workspace));
  if (args.num_tokens == 0) return {};
  const MoeProblem& p = plan.problem;
  const MoePlaces places(p, plan.sizes.max_tokens, workspace.data);
  const Call c{p, places, {p, args, places.sorted, stream}, plan.sizes.num_sms};
  if (p.shared_intermediate != 0) {
    const ExpertLayer shared = shared_layer(p, weights, args);
    NVFP4_RETURN_IF_ERROR(run_fc1(c, shared, places.shared));
    NVFP4_RETURN_IF_ERROR(run_fc2(c, shared, places.shared));
  }
  const ExpertLayer routed = routed_layer(p, weights, args);
  NVFP4_RETURN_IF_ERROR(c.steps.sort(places.sort));
  NVFP4_RETURN_IF_ERROR(run_fc1(c, routed, places.routed));
  NVFP4_RETURN_IF_ERROR(run_fc2(c, routed, places.routed));
  auto combine = c.steps.combination<CombineExperts>(places.shared_partial);
  combine.partial = places.partial;
  return combine_experts(combine, stream);
}

const DeviceMoeKernel kKernel = kernel_of<DeviceMoeKernel>(moe_nvfp4_bf16_mma_offer(), plan, run);

}  // namespace

const DeviceMoeKernel& moe_nvfp4_bf16_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm80
