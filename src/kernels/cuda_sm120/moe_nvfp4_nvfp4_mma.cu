// A mixture-of-experts layer by FP4 products: pairs of tokens and experts are sorted by expert; x is rounded to NVFP4,
// once for each token where experts agree on the scale; FC1 gathers its rows and rounds act(gate, up) to NVFP4 where it
// stores it or, if each row has a scale of its own, a kernel between does; FC2 writes a partial result of each pair; a
// last kernel adds them up in the order of the slots. A shared expert comes first, as kernels of its own. Tokens whose
// partial results would take more than a part of the device's memory come one piece after the other. Order of sums and
// bounds: fp4_kernel.cuh.
#include <algorithm>

#include "kernels/cuda_shared/combine_experts.h"
#include "kernels/cuda_shared/quantize_codes.h"
#include "kernels/cuda_sm120/expert_down.cuh"
#include "kernels/cuda_sm120/expert_up.cuh"
#include "kernels/cuda_sm120/fp4_choice.h"
#include "kernels/cuda_sm120/fp4_launch.cuh"
#include "kernels/cuda_sm120/moe_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm120/moe_workspace.h"
#include "kernels/cuda_sm120/offers.h"

namespace nvfp4::kernels::cuda_sm120 {
namespace {

constexpr const char* kName = "moe_nvfp4_nvfp4_mma";

struct Call {
  const MoeProblem& problem;
  const DeviceMoeArgs& args;
  const MoeWorkspace workspace;
  const std::uint32_t num_sms;
  const DeviceStream stream;
};

// The routed experts, or the shared one, to which every token goes.
struct Layer {
  const DeviceExperts& weights;
  const ExpertBuffers& buffers;
  std::uint32_t intermediate, num_experts, num_rows;
  bool is_shared;
};

bool is_static(const MoeProblem& p) { return p.activation == Activation::kNvfp4Static; }
ExpertLookup lookup_of(const Call& c) { return {c.args.expert_map, c.problem.num_ids(), c.problem.num_experts}; }

Status sort_pairs(const Call& c) {
  SortByExpert sort;
  sort.num_tokens = c.args.num_tokens;
  sort.top_k = c.problem.top_k;
  sort.lookup = lookup_of(c);
  sort.expert_ids = c.args.expert_ids;
  sort.out = c.workspace.sorted;
  return sort_by_expert(sort, c.workspace.sort, c.stream);
}

// Rows of FC1 lie by token, and are gathered; or by sorted pair.
bool gathers(const Call& c, const Layer& layer) { return !layer.is_shared && !rounds_pairs(c.problem); }
std::uint32_t num_x_rows(const Call& c, const Layer& layer) {
  return layer.is_shared || gathers(c, layer) ? c.args.num_tokens : layer.num_rows;
}

Status round_x(const Call& c, const Layer& layer) {
  const MoeProblem& p = c.problem;
  QuantizeCodes q;
  q.rows.activation = p.activation;
  q.rows.rule = p.input_rule;
  q.rows.num_rows = num_x_rows(c, layer);
  q.rows.in_features = p.hidden;
  q.rows.x = c.args.x;
  if (is_static(p)) q.rows.input_scales = layer.weights.fc1_input_scale;
  if (!layer.is_shared && !gathers(c, layer)) {
    q.rows.pair_of_row = c.workspace.sorted.pair_of_row;
    q.rows.top_k = p.top_k;
    q.rows.expert_ids = c.args.expert_ids;
    q.rows.lookup = lookup_of(c);
    if (p.router_weight_on_input) q.rows.router_weights = c.args.router_weights;
  }
  q.rows.row_scale = layer.buffers.x_factors;
  q.codes = layer.buffers.x;
  q.code_rows = q.rows.num_rows;
  return quantize_codes(q, c.stream);
}

// h of each pair, or token of the shared expert.
Status round_h(const Call& c, const Layer& layer) {
  QuantizeCodes q;
  q.rows.activation = c.problem.activation;
  q.rows.num_rows = layer.num_rows;
  q.rows.in_features = layer.intermediate;
  if (!layer.is_shared) q.rows.pair_of_row = c.workspace.sorted.pair_of_row;
  q.rows.top_k = c.problem.top_k;
  q.rows.row_scale = layer.buffers.h_factors;
  q.f32 = layer.buffers.h_f32;
  q.codes = layer.buffers.h;
  q.code_rows = layer.num_rows;
  return quantize_codes(q, c.stream);
}

Fp4Call fp4_call(const Call& c, const Layer& layer, const std::uint8_t* weights, std::uint64_t row_groups,
                 std::uint32_t in_features) {
  Fp4Call call;
  call.weights = weights;
  call.row_groups = static_cast<std::uint32_t>(row_groups);
  call.k_tiles = static_cast<std::uint32_t>(BlockScaled16x64::num_tiles(in_features));
  call.num_experts = layer.num_experts;
  call.top_k = c.problem.top_k;
  call.offsets = layer.is_shared ? nullptr : c.workspace.sorted.offsets;
  call.num_rows = layer.num_rows;
  return call;
}

template <class Sink>
Status launch_fp4(const Call& c, const Layer& layer, const Fp4Call& call, const Sink& sink) {
  const std::uint32_t shape_idx = choose_expert_shape(layer.num_rows, layer.num_experts, c.problem.batch_invariant);
  const Fp4Shape& shape = kFp4Shapes[shape_idx];
  // Each expert has at most one tile that is not full.
  const std::uint64_t token_tiles = layer.num_rows / shape.tokens() + std::min(layer.num_experts, layer.num_rows);
  const std::uint64_t row_tiles = (call.row_groups + shape.groups() - 1) / shape.groups();
  return Fp4Launch<Sink>::run(kName, shape_idx, token_tiles * row_tiles, c.num_sms, call, sink, c.stream);
}

template <bool kGated>
Status launch_fc1(const Call& c, const Layer& layer) {
  const MoeProblem& p = c.problem;
  ExpertUp<kGated> up;
  up.function = p.function;
  up.alpha = p.swiglu_alpha;
  up.beta = p.swiglu_beta;
  up.limit = p.swiglu_limit;
  up.gate_scale2 = layer.weights.gate_scale2;
  up.up_scale2 = layer.weights.up_scale2;
  up.factors = layer.buffers.x_factors;
  up.pair_of_row = gathers(c, layer) ? c.workspace.sorted.pair_of_row : nullptr;
  up.top_k = p.top_k;
  up.intermediate = layer.intermediate;
  up.rule = p.input_rule;
  if (is_static(p)) up.h_input_scales = layer.weights.fc2_input_scale;
  up.codes = layer.buffers.h;
  up.code_rows = layer.num_rows;
  up.h = layer.buffers.h_f32;
  Fp4Call call = fp4_call(c, layer, layer.weights.gate_up, (kGated ? 2 : 1) * layer.intermediate / 16, p.hidden);
  call.codes = layer.buffers.x;
  call.code_rows = num_x_rows(c, layer);
  call.pair_of_row = up.pair_of_row;
  return launch_fp4(c, layer, call, up);
}

Status run_fc2(const Call& c, const Layer& layer) {
  const MoeProblem& p = c.problem;
  ExpertDown down;
  down.scale2 = layer.weights.down_scale2;
  if (is_static(p)) down.input_scales = layer.weights.fc2_input_scale;
  down.rule = p.input_rule;
  down.factors = layer.buffers.h_factors;
  down.partial = layer.buffers.partial;
  down.hidden = p.hidden;
  Fp4Call call = fp4_call(c, layer, layer.weights.down, p.hidden / 16, layer.intermediate);
  call.codes = layer.buffers.h;
  call.code_rows = layer.num_rows;
  return launch_fp4(c, layer, call, down);
}

Status run_layer(const Call& c, const Layer& layer) {
  NVFP4_RETURN_IF_ERROR(round_x(c, layer));
  NVFP4_RETURN_IF_ERROR(c.problem.gated() ? launch_fc1<true>(c, layer) : launch_fc1<false>(c, layer));
  if (rounds_rows_of_h(c.problem)) NVFP4_RETURN_IF_ERROR(round_h(c, layer));
  return run_fc2(c, layer);
}

Status add_up(const Call& c) {
  CombineExperts combine;
  combine.num_tokens = c.args.num_tokens;
  combine.top_k = c.problem.top_k;
  combine.hidden = c.problem.hidden;
  combine.partial = c.workspace.routed.partial;
  combine.row_of_pair = c.workspace.sorted.row_of_pair;
  combine.router_weights = c.problem.router_weight_on_input ? nullptr : c.args.router_weights;
  combine.shared = c.workspace.shared.partial;
  combine.shared_weights = c.args.shared_weights;
  combine.y = c.args.y;
  return combine_experts(combine, c.stream);
}

Result<DeviceMoePlan> plan(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceMoePlan plan = moe_nvfp4_nvfp4_mma_offer().outline(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR(problem.gated() ? Fp4Launch<ExpertUp<true>>::allow(kName)
                                        : Fp4Launch<ExpertUp<false>>::allow(kName));
  NVFP4_RETURN_IF_ERROR(Fp4Launch<ExpertDown>::allow(kName));
  return plan;
}

Status run_piece(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
                 const DeviceWorkspace& workspace, DeviceStream stream) {
  const MoeProblem& p = plan.problem;
  const Call c{p, args, MoeWorkspace(p, plan.sizes.choice[0], workspace.data), plan.sizes.num_sms, stream};
  if (p.shared_intermediate != 0) {
    const Layer shared{weights.shared, c.workspace.shared, p.shared_intermediate, 1, args.num_tokens, true};
    NVFP4_RETURN_IF_ERROR(run_layer(c, shared));
  }
  NVFP4_RETURN_IF_ERROR(sort_pairs(c));
  const Layer routed{weights.experts, c.workspace.routed,        p.intermediate,
                     p.num_experts,   args.num_tokens * p.top_k, false};
  NVFP4_RETURN_IF_ERROR(run_layer(c, routed));
  return add_up(c);
}

Status run(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_moe_call(plan, weights, args, workspace));
  for (std::uint32_t first = 0; first < args.num_tokens; first += plan.sizes.choice[0]) {
    DeviceMoeArgs piece = args;
    piece.num_tokens = std::min(args.num_tokens - first, plan.sizes.choice[0]);
    piece.x += std::size_t{first} * plan.problem.hidden;
    piece.y += std::size_t{first} * plan.problem.hidden;
    piece.expert_ids += std::size_t{first} * plan.problem.top_k;
    piece.router_weights += std::size_t{first} * plan.problem.top_k;
    if (args.shared_weights != nullptr) piece.shared_weights += first;
    NVFP4_RETURN_IF_ERROR(run_piece(plan, weights, piece, workspace, stream));
  }
  return {};
}

const DeviceMoeKernel kKernel = kernel_of<DeviceMoeKernel>(moe_nvfp4_nvfp4_mma_offer(), plan, run);

}  // namespace

const DeviceMoeKernel& moe_nvfp4_nvfp4_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm120
