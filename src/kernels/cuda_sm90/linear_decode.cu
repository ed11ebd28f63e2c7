// y = W A(x) for few tokens: the blocks of linear_decode_block.cuh share the weight's row groups evenly. Activations
// that are not x itself are rounded by a kernel before, to numbers that are exact in BF16. Bound: memory.
#include <algorithm>
#include <string>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_decode_sink.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::string_view kName = "linear_nvfp4_bf16_mma";

using Kernel = void (*)(DecodeCall, LinearSink);

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Tokens of an item, in eights, and the pipe for it.
struct Way {
  std::uint32_t columns = 1;
  DecodePipe pipe;
};

// From 9 tokens on 16 at a time, so that weights are read once, where their rows fit.
Way choose_way(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes, std::uint32_t num_tokens) {
  const std::uint32_t row_groups = divided_up(problem.out_features, Fragment16x64::kRows);
  for (const std::uint32_t columns : {2U, 1U}) {
    if (columns == 2 && num_tokens <= 8) continue;
    const std::uint32_t chunks = divided_up(num_tokens, 8 * columns);
    DecodePipeNeeds needs;
    needs.num_tiles = divided_up(problem.in_features, Fragment16x64::kCols);
    needs.columns = columns;
    needs.rows_stay = chunks == 1;
    needs.keeps_order = problem.batch_invariant;
    needs.row_slots = std::min(num_tokens, 8 * columns);
    needs.max_items = divided_up(row_groups * chunks, sizes.num_sms);
    needs.max_bytes = sizes.choice[0];
    const DecodePipe pipe = make_decode_pipe(needs);
    if (pipe.stages != 0) return {columns, pipe};
  }
  return {};
}

bool is_rounded(const DeviceLinearProblem& problem) {
  return problem.activation != Activation::k16Bit || problem.has_pre_quant_scale;
}

// Rounded rows in the workspace: BF16 [T, K], then float32 [T].
std::size_t value_bytes(const DeviceLinearProblem& problem, std::uint32_t num_tokens) {
  const std::size_t bytes = std::size_t{num_tokens} * problem.in_features * sizeof(Bf16Bits);
  return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
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
  q.row_scale = reinterpret_cast<float*>(workspace.data + value_bytes(plan.problem, plan.sizes.max_tokens));
  rows.values = q.values;
  rows.factors = q.row_scale;
  return quantize_activations(q, stream);
}

std::string refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (problem.weight != WeightFormat::kNvfp4) return "only for nvfp4 weights";
  if (std::string reason = device_linear_limits_refusal(problem); !reason.empty()) return reason;
  if (max_tokens > kMaxLinearDecodeTokens) {
    return std::to_string(max_tokens) + " tokens; at most " + std::to_string(kMaxLinearDecodeTokens) + " are possible";
  }
  if (is_rounded(problem) && problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  DevicePlanSizes sizes{.num_sms = caps.num_sms};
  sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  for (std::uint32_t num_tokens = 1; num_tokens <= max_tokens; ++num_tokens) {
    if (choose_way(problem, sizes, num_tokens).pipe.stages != 0) continue;
    return std::to_string(num_tokens) + " tokens of " + std::to_string(problem.in_features) +
           " input features do not fit into shared memory";
  }
  return {};
}

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  if (is_rounded(problem)) plan.sizes.workspace_bytes = value_bytes(problem, max_tokens) + max_tokens * sizeof(float);
  const Kernel one = decode_kernel<LinearSink, 1>;
  const Kernel two = decode_kernel<LinearSink, 2>;
  for (const Kernel kernel : {one, two}) NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, kernel, caps));
  return plan;
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
  if (args.num_tokens == 0) return {};
  const DeviceLinearProblem& problem = plan.problem;
  const Way way = choose_way(problem, plan.sizes, args.num_tokens);
  DecodeCall call;
  call.pipe = way.pipe;
  call.matrices = {static_cast<const std::uint8_t*>(weight.elements),
                   divided_up(problem.out_features, Fragment16x64::kRows),
                   divided_up(problem.in_features, Fragment16x64::kCols), problem.in_features};
  call.rows = {args.x, nullptr, args.num_tokens, 1};
  if (is_rounded(problem)) {
    NVFP4_RETURN_IF_ERROR(round_activations(plan, weight, args, workspace, call.rows, stream));
  }
  call.pairs.num_pairs = args.num_tokens;
  const LinearSink sink{args.y, problem.output == DeviceOutput::kF32, problem.out_features, weight.shards,
                        problem.has_bias ? weight.bias : nullptr};
  const std::uint32_t items = call.matrices.row_groups * divided_up(args.num_tokens, 8 * way.columns);
  const LaunchShape shape{.blocks = std::min(items, plan.sizes.num_sms),
                          .num_threads = way.pipe.num_threads(),
                          .shared_bytes = way.pipe.num_bytes};
  const Kernel kernel = way.columns == 1 ? Kernel{decode_kernel<LinearSink, 1>} : Kernel{decode_kernel<LinearSink, 2>};
  return launch(kName.data(), kernel, shape, stream, call, sink);
}

constexpr DeviceLinearKernel kKernel{kName, refusal, plan, run};

}  // namespace

const DeviceLinearKernel& linear_nvfp4_bf16_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
