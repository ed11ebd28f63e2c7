// A mixture-of-experts layer for few tokens, in two or three kernels, each of which asks for its weights before the one
// ahead has ended: FC1 with the activation; FC2, up to kFewPairs pairs with the sum over a token's experts, unless
// there are more row groups than multiprocessors, else combine_experts() as the third. A shared expert comes first, as
// two kernels of its own. W4A4 activations are rounded to numbers that are exact in BF16: one token's under static
// scales by FC1, before and after; others by kernels of their own. Bound: memory.
#include <algorithm>

#include "kernels/cuda_shared/combine_experts.h"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/round_rows.h"
#include "kernels/cuda_sm90/decode_offers.h"
#include "kernels/cuda_sm90/linear_decode_choice.h"
#include "kernels/cuda_sm90/moe_decode.h"
#include "kernels/cuda_sm90/moe_decode_one.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"
#include "kernels/cuda_sm90/moe_decode_places.h"
#include "kernels/cuda_sm90/moe_decode_sinks.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr const char* kName = "moe_nvfp4_bf16_mma_bulk";

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }
constexpr std::uint32_t tiles_of(std::uint32_t cols) { return divided_up(cols, Fragment16x64::kCols); }

DecodeMachine machine_of(const DevicePlanSizes& sizes) { return {sizes.num_sms, decode_memory(sizes)}; }

struct Call {
  const MoeProblem& problem;
  const DeviceMoeWeights& weights;
  const DeviceMoeArgs& args;
  const DecodeMachine machine;
  const MoeDecodePlaces workspace;
  const DeviceStream stream;
};

template <class Sink, std::uint32_t kSplit>
Status launch_blocks(const Call& c, DecodeCall call, const Sink& sink, std::uint32_t num_blocks) {
  call.blocks = num_blocks;
  const LaunchShape shape{
      .blocks = num_blocks, .num_threads = call.pipe.num_threads(), .shared_bytes = call.pipe.num_bytes};
  return launch(kName, decode_kernel<Sink, kSplit, 1>, shape, c.stream, call, sink);
}

// A part of all items to each block.
template <class Sink>
Status launch_items(const Call& c, const DecodeExpert& e, const DecodeCall& call, const Sink& sink) {
  const std::uint32_t num_items = e.max_chunks(c.args.num_tokens) * call.matrices.row_groups.value;
  const std::uint32_t num_blocks = std::min(c.machine.num_sms * call.pipe.blocks_per_sm, num_items);
  if constexpr (Sink::kSharedByTwo) {
    if (call.pipe.split == 2) return launch_blocks<Sink, 2>(c, call, sink, num_blocks);
  }
  return call.pipe.split == 1 ? launch_blocks<Sink, 1>(c, call, sink, num_blocks)
                              : launch_blocks<Sink, 4>(c, call, sink, num_blocks);
}

DecodePairs pairs_of(const Call& c, const DecodeExpert& e) {
  DecodePairs pairs;
  pairs.num_pairs = e.num_pairs(c.args.num_tokens);
  if (e.top_k == 0) return pairs;
  pairs.ids = c.args.expert_ids;
  pairs.expert_map = c.args.expert_map;
  pairs.num_ids = c.problem.num_ids();
  pairs.num_experts = e.num_experts;
  return pairs;
}

// The rows that FC1 multiplies.
Status round_fc1_rows(const Call& c, const DecodeExpert& e, const DeviceExperts& weights,
                      const MoeDecodeBuffers& buffers, bool next_reads_ids) {
  QuantizeActivations q;
  q.activation = c.problem.activation;
  q.rule = c.problem.input_rule;
  q.num_rows = e.num_rows(c.args.num_tokens);
  q.in_features = e.hidden;
  q.x = c.args.x;
  q.next_reads_earlier = next_reads_ids;
  if (c.problem.activation == Activation::kNvfp4Static) q.input_scales = weights.fc1_input_scale;
  if (e.rows_of_pairs) {
    const DecodePairs pairs = pairs_of(c, e);
    NVFP4_RETURN_IF_ERROR(list_pairs(pairs, c.workspace.row_of_pair, c.stream));
    q.pair_of_row = c.workspace.row_of_pair;
    q.top_k = e.top_k;
    q.expert_ids = c.args.expert_ids;
    q.lookup = {pairs.expert_map, pairs.num_ids, pairs.num_experts};
    if (c.problem.router_weight_on_input) q.router_weights = c.args.router_weights;
  }
  q.values = buffers.rows;
  q.row_scale = buffers.row_factors;
  return quantize_activations(q, c.stream);
}

template <bool kGated>
Status launch_fc1(const Call& c, const DecodeExpert& e, const DecodeCall& call, const DeviceExperts& weights,
                  const MoeDecodeBuffers& buffers) {
  Fc1Sink<kGated> sink;
  sink.h = buffers.h;
  sink.h_f32 = buffers.h_f32;
  sink.row_of_pair = e.top_k == 0 || e.rows_of_pairs ? nullptr : c.workspace.row_of_pair;  // or it is there
  sink.knows_ids = buffers.rows != nullptr || e.top_k == 0;
  sink.intermediate = e.intermediate;
  sink.gate_scale2 = weights.gate_scale2;
  sink.up_scale2 = weights.up_scale2;
  sink.function = {c.problem.function, c.problem.swiglu_alpha, c.problem.swiglu_beta, c.problem.swiglu_limit};
  return launch_items(c, e, call, sink);
}

Status run_fc1(const Call& c, const DecodeExpert& e, const DecodePipe& pipe, const DeviceExperts& weights,
               const MoeDecodeBuffers& buffers) {
  DecodeCall call;
  call.pipe = pipe;
  call.matrices = {weights.gate_up, e.fc1_groups(), tiles_of(e.hidden), e.hidden};
  call.rows = {c.args.x, nullptr, e.num_rows(c.args.num_tokens), e.rows_of_pairs ? 1 : std::max(e.top_k, 1U)};
  call.pairs = pairs_of(c, e);
  if (buffers.rows != nullptr) {
    NVFP4_RETURN_IF_ERROR(round_fc1_rows(c, e, weights, buffers, true));
    call.rows.values = buffers.rows;
    call.rows.factors = buffers.row_factors;
  } else if (e.top_k != 0 && c.problem.router_weight_on_input) {
    call.rows.pair_factors = c.args.router_weights;
  }
  return e.gated ? launch_fc1<true>(c, e, call, weights, buffers) : launch_fc1<false>(c, e, call, weights, buffers);
}

Status round_h(const Call& c, const DecodeExpert& e, const DeviceExperts& weights, const MoeDecodeBuffers& buffers,
               const DecodePairs& pairs) {
  RoundRows round;
  round.h = buffers.h_f32;
  round.num_cols = e.intermediate;
  round.num_rows = pairs.num_pairs;
  round.expert_ids = pairs.ids;
  round.lookup = {pairs.expert_map, pairs.num_ids, pairs.num_experts};
  round.ids_are_early = true;  // FC1 has waited for them
  if (c.problem.activation == Activation::kNvfp4Static) round.input_scales = weights.fc2_input_scale;
  round.rule = c.problem.input_rule;
  round.values = buffers.h;
  round.factors = buffers.h_factors;
  return round_rows(round, c.stream);
}

// What FC2 multiplies, rounded before if it must be.
Result<DecodeCall> fc2_call(const Call& c, const DecodeExpert& e, const DecodePipe& pipe, const DeviceExperts& weights,
                            const MoeDecodeBuffers& buffers) {
  DecodeCall call;
  call.pipe = pipe;
  call.matrices = {weights.down, e.fc2_groups(), tiles_of(e.intermediate), e.intermediate};
  call.pairs = pairs_of(c, e);
  call.rows = {buffers.h, buffers.h_factors, call.pairs.num_pairs, 1};
  if (buffers.h_f32 == nullptr) return call;
  NVFP4_RETURN_IF_ERROR(round_h(c, e, weights, buffers, call.pairs));
  return call;
}

Status run_partial_fc2(const Call& c, const DecodeExpert& e, const DecodePipe& pipe, const DeviceExperts& weights,
                       const MoeDecodeBuffers& buffers) {
  const auto call = fc2_call(c, e, pipe, weights, buffers);
  NVFP4_RETURN_IF_ERROR(call);
  const PartialSink sink{buffers.partial, e.hidden, weights.down_scale2};
  return launch_items(c, e, *call, sink);
}

// The weights with which the experts' answers are added up.
const float* output_weights(const Call& c) {
  return c.problem.router_weight_on_input ? nullptr : c.args.router_weights;
}

Status run_token_fc2(const Call& c, const DecodeExpert& e, const DecodePipe& pipe) {
  const auto call = fc2_call(c, e, pipe, c.weights.experts, c.workspace.routed);
  NVFP4_RETURN_IF_ERROR(call);
  TokenSink sink;
  sink.y = c.args.y;
  sink.hidden = e.hidden;
  sink.num_tokens = c.args.num_tokens;
  sink.top_k = e.top_k;
  sink.down_scale2 = c.weights.experts.down_scale2;
  sink.router_weights = output_weights(c);
  sink.shared_partial = c.workspace.shared.partial;
  sink.shared_weights = c.args.shared_weights;
  return launch_blocks<TokenSink, 2>(c, *call, sink, e.fc2_groups());
}

Status combine(const Call& c) {
  CombineExperts combine;
  combine.num_tokens = c.args.num_tokens;
  combine.top_k = c.problem.top_k;
  combine.hidden = c.problem.hidden;
  combine.partial = c.workspace.routed.partial;
  combine.row_of_pair = c.workspace.row_of_pair;
  combine.router_weights = output_weights(c);
  combine.shared = c.workspace.shared.partial;
  combine.shared_weights = c.args.shared_weights;
  combine.y = c.args.y;
  return combine_experts(combine, c.stream);
}

// One token, whose experts all multiply the same row: static scales are the same for all of them, then.
Status run_one_token(const Call& c, const DecodeExpert& e, const OneTokenPipes& pipes) {
  const DeviceExperts& weights = c.weights.experts;
  const MoeDecodeBuffers& buffers = c.workspace.routed;
  OneTokenMoe moe{c.problem, weights, pipes, c.machine.num_sms, pairs_of(c, e), c.args.x};
  moe.rounds = c.problem.activation == Activation::kNvfp4Static;
  if (buffers.rows != nullptr && !moe.rounds) {
    NVFP4_RETURN_IF_ERROR(round_fc1_rows(c, e, weights, buffers, false));
    moe.x = buffers.rows;
    moe.x_factor = buffers.row_factors;
  } else if (c.problem.router_weight_on_input) {
    moe.pair_factors = c.args.router_weights;
  }
  moe.h = buffers.h;
  if (!moe.rounds) moe.h_f32 = buffers.h_f32;
  moe.router_weights = output_weights(c);
  moe.shared_partial = c.workspace.shared.partial;
  moe.shared_weights = c.args.shared_weights;
  moe.y = c.args.y;
  NVFP4_RETURN_IF_ERROR(run_one_token_fc1(moe, c.stream));
  if (moe.h_f32 != nullptr) {
    NVFP4_RETURN_IF_ERROR(round_h(c, e, weights, buffers, moe.pairs));
    moe.h_factors = buffers.h_factors;
  }
  return run_one_token_fc2(moe, c.stream);
}

Status run_shared(const Call& c) {
  const DecodeExpert e = shared_expert(c.problem);
  const DecodePipes pipes = choose_decode_pipes(e, c.machine, c.args.num_tokens);
  NVFP4_RETURN_IF_ERROR(run_fc1(c, e, pipes.fc1, c.weights.shared, c.workspace.shared));
  return run_partial_fc2(c, e, pipes.fc2, c.weights.shared, c.workspace.shared);
}

Result<DeviceMoePlan> plan(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceMoePlan plan = moe_nvfp4_bf16_mma_bulk_offer().outline(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<true>, 1, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<true>, 2, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<true>, 4, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<false>, 1, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<false>, 2, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<Fc1Sink<false>, 4, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<PartialSink, 1, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<PartialSink, 4, 1>, caps)));
  NVFP4_RETURN_IF_ERROR((allow_shared_bytes(kName, decode_kernel<TokenSink, 2, 1>, caps)));
  NVFP4_RETURN_IF_ERROR(allow_one_token_moe(caps));
  NVFP4_RETURN_IF_ERROR(let_combine_overlap());
  if (is_rounded(problem)) {
    NVFP4_RETURN_IF_ERROR(let_list_pairs_overlap());
    NVFP4_RETURN_IF_ERROR(let_quantizer_overlap());
    NVFP4_RETURN_IF_ERROR(let_round_rows_overlap());
  }
  return plan;
}

Status run(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_moe_call(plan, weights, args, workspace));
  if (args.num_tokens == 0) return {};
  const Call c{plan.problem,
               weights,
               args,
               machine_of(plan.sizes),
               MoeDecodePlaces(plan.problem, plan.sizes.max_tokens, workspace.data),
               stream};
  if (plan.problem.shared_intermediate != 0) NVFP4_RETURN_IF_ERROR(run_shared(c));
  const DecodeExpert e = routed_expert(plan.problem);
  if (args.num_tokens == 1 && !e.rows_of_pairs) {
    const OneTokenPipes one = choose_one_token_pipes(plan.problem, c.machine.num_sms, c.machine.memory.block_bytes,
                                                     c.machine.memory.sm_bytes);
    if (one.exist()) return run_one_token(c, e, one);
  }
  const DecodePipes pipes = choose_decode_pipes(e, c.machine, args.num_tokens);
  NVFP4_RETURN_IF_ERROR(run_fc1(c, e, pipes.fc1, weights.experts, c.workspace.routed));
  if (pipes.sums_tokens) return run_token_fc2(c, e, pipes.fc2);
  NVFP4_RETURN_IF_ERROR(run_partial_fc2(c, e, pipes.fc2, weights.experts, c.workspace.routed));
  return combine(c);
}

const DeviceMoeKernel kKernel = kernel_of<DeviceMoeKernel>(moe_nvfp4_bf16_mma_bulk_offer(), plan, run);

}  // namespace

const DeviceMoeKernel& moe_nvfp4_bf16_mma_bulk() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
