// y = W A(x) for few tokens: the blocks of linear_decode_block.cuh share the weight's row groups evenly. Activations
// that are not x itself are rounded to numbers that are exact in BF16: by a kernel before, but one token's under a
// static scale where they are. Bound: memory.
#include <algorithm>
#include <utility>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/decode_offers.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_decode_choice.h"
#include "kernels/cuda_sm90/linear_decode_sink.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::string_view kName = "linear_nvfp4_bf16_mma_bulk";

using Kernel = void (*)(DecodeCall, LinearSink);

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// One token's sums are added up in an order of their own.
OneTokenPipe one_token_pipe_of(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes) {
  OneTokenNeeds needs;
  needs.num_tiles = divided_up(problem.in_features, Fragment16x64::kCols);
  needs.num_items = divided_up(problem.out_features, Fragment16x64::kRows);
  needs.num_blocks = std::min(needs.num_items, sizes.num_sms);
  needs.max_slots = 32;
  needs.max_bytes = decode_memory(sizes).sm_bytes / 2 - decode_memory(sizes).reserve;
  return make_one_token_pipe(needs);
}

Kernel kernel_for(const LinearDecodeChoice& choice) {
  if (choice.columns == 2) {
    return choice.pipe.split == 1 ? Kernel{decode_kernel<LinearSink, 1, 2>} : Kernel{decode_kernel<LinearSink, 4, 2>};
  }
  return choice.pipe.split == 1   ? Kernel{decode_kernel<LinearSink, 1, 1>}
         : choice.pipe.split == 4 ? Kernel{decode_kernel<LinearSink, 4, 1>}
                                  : Kernel{decode_kernel<LinearSink, 8, 1>};
}

Status round_activations(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
                         const DeviceWorkspace& workspace, DecodeRows& rows, DeviceStream stream) {
  QuantizeActivations q;
  q.activation = plan.problem.activation;
  q.rule = plan.problem.input_rule;
  q.num_rows = args.num_tokens;
  q.in_features = plan.problem.in_features;
  q.x = args.x;
  q.pre_quant_scale = plan.problem.has_pre_quant_scale ? weight.pre_quant_scale : nullptr;
  q.input_scale = weight.input_scale;
  q.values = reinterpret_cast<Bf16Bits*>(workspace.data);
  q.row_scale = reinterpret_cast<float*>(workspace.data + decode_value_bytes(plan.problem, plan.sizes.max_tokens));
  rows.values = q.values;
  rows.factors = q.row_scale;
  return quantize_activations(q, stream);
}

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceLinearPlan plan = linear_nvfp4_bf16_mma_bulk_offer().outline(problem, caps, max_tokens);
  if (is_rounded(problem)) NVFP4_RETURN_IF_ERROR(let_quantizer_overlap());
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, one_token_kernel<OneTokenLinearSink<false>>, caps));
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, one_token_kernel<OneTokenLinearSink<true>>, caps));
  for (const auto& [columns, split] : {std::pair{1U, 1U}, {1U, 4U}, {1U, 8U}, {2U, 1U}, {2U, 4U}}) {
    LinearDecodeChoice choice{columns, {}};
    choice.pipe.split = split;
    NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, kernel_for(choice), caps));
  }
  return plan;
}

LinearSink sink_of(const DeviceLinearProblem& problem, const DeviceLinearWeight& weight, const DeviceLinearArgs& args) {
  return {args.y, problem.output == DeviceOutput::kF32, problem.out_features, weight.shards,
          problem.has_bias ? weight.bias : nullptr};
}

template <bool kRounds>
Status launch_one_token(const OneTokenCall& call, const OneTokenLinearSink<kRounds>& sink, std::uint32_t num_sms,
                        DeviceStream stream) {
  const LaunchShape shape{.blocks = std::min(call.row_groups, num_sms),
                          .num_threads = kOneTokenThreads,
                          .shared_bytes = call.pipe.num_bytes};
  return launch(kName.data(), one_token_kernel<OneTokenLinearSink<kRounds>>, shape, stream, call, sink);
}

Status run_one_token(const DeviceLinearPlan& plan, const OneTokenPipe& pipe, const DeviceLinearWeight& weight,
                     const DeviceLinearArgs& args, const DeviceWorkspace& workspace, DeviceStream stream) {
  const DeviceLinearProblem& problem = plan.problem;
  const bool rounds = problem.activation == Activation::kNvfp4Static && !problem.has_pre_quant_scale;
  DecodeRows rows{args.x, nullptr, 1, 1};
  if (is_rounded(problem) && !rounds)
    NVFP4_RETURN_IF_ERROR(round_activations(plan, weight, args, workspace, rows, stream));
  OneTokenCall call;
  call.pipe = pipe;
  call.matrices = static_cast<const std::uint8_t*>(weight.elements);
  call.row_groups = divided_up(problem.out_features, Fragment16x64::kRows);
  call.num_cols = problem.in_features;
  call.rows = rows.values;
  const LinearSink sink = sink_of(problem, weight, args);
  if (rounds) {
    const OneTokenLinearSink<true> rounding{sink, nullptr, weight.input_scale, problem.input_rule};
    return launch_one_token(call, rounding, plan.sizes.num_sms, stream);
  }
  return launch_one_token(call, OneTokenLinearSink<false>{sink, rows.factors}, plan.sizes.num_sms, stream);
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
  if (args.num_tokens == 0) return {};
  const DeviceLinearProblem& problem = plan.problem;
  if (args.num_tokens == 1) {
    const OneTokenPipe pipe = one_token_pipe_of(problem, plan.sizes);
    if (pipe.slots != 0) return run_one_token(plan, pipe, weight, args, workspace, stream);
  }
  const LinearDecodeChoice choice = choose_linear_decode(problem, plan.sizes, args.num_tokens);
  DecodeCall call;
  call.pipe = choice.pipe;
  call.matrices = {static_cast<const std::uint8_t*>(weight.elements),
                   divided_up(problem.out_features, Fragment16x64::kRows),
                   divided_up(problem.in_features, Fragment16x64::kCols), problem.in_features};
  call.rows = {args.x, nullptr, args.num_tokens, 1};
  if (is_rounded(problem)) {
    NVFP4_RETURN_IF_ERROR(round_activations(plan, weight, args, workspace, call.rows, stream));
  }
  call.pairs.num_pairs = args.num_tokens;
  const LinearSink sink = sink_of(problem, weight, args);
  const std::uint32_t num_items = call.matrices.row_groups.value * divided_up(args.num_tokens, 8 * choice.columns);
  call.blocks = std::min(num_items, plan.sizes.num_sms * choice.pipe.blocks_per_sm);
  const LaunchShape shape{
      .blocks = call.blocks.value, .num_threads = choice.pipe.num_threads(), .shared_bytes = choice.pipe.num_bytes};
  return launch(kName.data(), kernel_for(choice), shape, stream, call, sink);
}

const DeviceLinearKernel kKernel = kernel_of<DeviceLinearKernel>(linear_nvfp4_bf16_mma_bulk_offer(), plan, run);

}  // namespace

const DeviceLinearKernel& linear_nvfp4_bf16_mma_bulk() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
