// y = W A(x) for few tokens: the blocks of linear_decode_block.cuh share the weight's row groups evenly. Activations
// that are not x itself are rounded to numbers that are exact in BF16: by a kernel before, but one token's under a
// static scale where they are. Bound: memory.
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_decode_sink.cuh"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::string_view kName = "linear_nvfp4_bf16_mma_bulk";

using Kernel = void (*)(DecodeCall, LinearSink);

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Warps that share an item, warps, slots, tiles of a piece, buffers of rows, blocks of a multiprocessor; as measured.
using Ways = std::span<const DecodeWay>;
constexpr std::array<DecodeWay, 4> kOneToken = {
    {{4, 12, 2, 5, 1, 2}, {8, 8, 2, 10, 1, 2}, {8, 16, 2, 10, 1, 1}, {8, 8, 2, 5, 1, 1}}};
constexpr std::array<DecodeWay, 6> kFewItems = {{{8, 16, 2, 10, 1, 1},
                                                 {4, 12, 2, 10, 1, 1},
                                                 {8, 16, 2, 5, 1, 1},
                                                 {4, 12, 2, 5, 1, 1},
                                                 {4, 12, 1, 6, 1, 1},
                                                 {4, 8, 2, 2, 1, 1}}};
constexpr std::array<DecodeWay, 7> kManyItems = {{{1, 16, 2, 10, 2, 1},
                                                  {1, 16, 2, 10, 1, 1},
                                                  {1, 16, 2, 8, 1, 1},
                                                  {1, 16, 2, 5, 1, 1},
                                                  {1, 16, 1, 6, 1, 1},
                                                  {1, 8, 2, 4, 1, 1},
                                                  {1, 8, 2, 1, 1, 1}}};

DecodeMemory memory_of(const DevicePlanSizes& sizes) { return {sizes.choice[0], sizes.choice[1]}; }

struct Choice {
  std::uint32_t columns = 1;  // tokens of an item, in eights
  DecodePipe pipe;
};

DecodePipe pipe_of(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes, std::uint32_t num_tokens,
                   std::uint32_t columns) {
  constexpr std::uint32_t kWarps = 8;
  const std::uint32_t chunks = divided_up(num_tokens, 8 * columns);
  const std::uint32_t num_items = divided_up(problem.out_features, Fragment16x64::kRows) * chunks;
  DecodeNeeds needs;
  needs.num_tiles = divided_up(problem.in_features, Fragment16x64::kCols);
  needs.columns = columns;
  needs.rows_stay = chunks == 1;
  needs.row_slots = std::min(num_tokens, 8 * columns);
  if (num_tokens == 1 || num_items < kWarps * sizes.num_sms) {
    const bool is_pair = columns == 2;  // for which only 4 warps can share
    const Ways ways = num_tokens == 1 ? Ways{kOneToken} : is_pair ? Ways{kFewItems}.subspan(4) : Ways{kFewItems};
    const DecodePipe pipe = choose_decode_pipe(ways, needs, memory_of(sizes));
    if (pipe.slots != 0) return pipe;
  }
  return choose_decode_pipe(kManyItems, needs, memory_of(sizes));
}

// From 9 tokens on 16 at a time, so that weights are read once, where their rows fit.
Choice choose(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes, std::uint32_t num_tokens) {
  if (num_tokens > 8) {
    const DecodePipe pipe = pipe_of(problem, sizes, num_tokens, 2);
    if (pipe.slots != 0) return {2, pipe};
  }
  return {1, pipe_of(problem, sizes, num_tokens, 1)};
}

// One token's sums are added up in an order of their own.
OneTokenPipe one_token_pipe_of(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes) {
  OneTokenNeeds needs;
  needs.num_tiles = divided_up(problem.in_features, Fragment16x64::kCols);
  needs.num_items = divided_up(problem.out_features, Fragment16x64::kRows);
  needs.num_blocks = std::min(needs.num_items, sizes.num_sms);
  needs.max_slots = 32;
  needs.max_bytes = memory_of(sizes).sm_bytes / 2 - memory_of(sizes).reserve;
  return make_one_token_pipe(needs);
}

Kernel kernel_of(const Choice& choice) {
  if (choice.columns == 2) {
    return choice.pipe.split == 1 ? Kernel{decode_kernel<LinearSink, 1, 2>} : Kernel{decode_kernel<LinearSink, 4, 2>};
  }
  return choice.pipe.split == 1   ? Kernel{decode_kernel<LinearSink, 1, 1>}
         : choice.pipe.split == 4 ? Kernel{decode_kernel<LinearSink, 4, 1>}
                                  : Kernel{decode_kernel<LinearSink, 8, 1>};
}

DevicePlanSizes sizes_of(const DeviceCaps& caps, std::uint32_t max_tokens) {
  DevicePlanSizes sizes;
  sizes.max_tokens = max_tokens;
  sizes.num_sms = caps.num_sms;
  sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  sizes.choice[1] = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
  return sizes;
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
  if (problem.batch_invariant) return "a token's last bits depend on how many tokens there are";
  if (max_tokens > kMaxLinearDecodeTokens) {
    return std::to_string(max_tokens) + " tokens; at most " + std::to_string(kMaxLinearDecodeTokens) + " are possible";
  }
  if (is_rounded(problem) && problem.in_features > kMaxQuantizedFeatures) {
    return std::to_string(problem.in_features) + " input features; activations of at most " +
           std::to_string(kMaxQuantizedFeatures) + " can be rounded";
  }
  const DevicePlanSizes sizes = sizes_of(caps, max_tokens);
  for (std::uint32_t num_tokens = 1; num_tokens <= max_tokens; ++num_tokens) {
    if (choose(problem, sizes, num_tokens).pipe.slots != 0) continue;
    return std::to_string(num_tokens) + " tokens of " + std::to_string(problem.in_features) +
           " input features do not fit into shared memory";
  }
  return {};
}

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, sizes_of(caps, max_tokens)};
  if (is_rounded(problem)) {
    plan.sizes.workspace_bytes = value_bytes(problem, max_tokens) + max_tokens * sizeof(float);
    NVFP4_RETURN_IF_ERROR(let_quantizer_overlap());
  }
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, one_token_kernel<OneTokenLinearSink<false>>, caps));
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, one_token_kernel<OneTokenLinearSink<true>>, caps));
  for (const auto& [columns, split] : {std::pair{1U, 1U}, {1U, 4U}, {1U, 8U}, {2U, 1U}, {2U, 4U}}) {
    Choice choice{columns, {}};
    choice.pipe.split = split;
    NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, kernel_of(choice), caps));
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
  const Choice choice = choose(problem, plan.sizes, args.num_tokens);
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
  const std::uint32_t num_items = call.matrices.row_groups * divided_up(args.num_tokens, 8 * choice.columns);
  const LaunchShape shape{.blocks = std::min(num_items, plan.sizes.num_sms * choice.pipe.blocks_per_sm),
                          .num_threads = choice.pipe.num_threads(),
                          .shared_bytes = choice.pipe.num_bytes};
  return launch(kName.data(), kernel_of(choice), shape, stream, call, sink);
}

constexpr std::uint32_t kBestMaxTokens = 8;  // wgmma takes 16 in the same time
constexpr DeviceLinearKernel kKernel{kName, refusal, plan, run, kBestMaxTokens};

}  // namespace

const DeviceLinearKernel& linear_nvfp4_bf16_mma_bulk() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
