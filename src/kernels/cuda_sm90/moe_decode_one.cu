#include <algorithm>

#include "kernels/cuda_sm90/moe_decode_one.cuh"
#include "kernels/cuda_sm90/moe_decode_one.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr const char* kName = "moe_nvfp4_bf16_mma_bulk";
constexpr std::uint32_t kBlockReserve = 1024;    // shared memory that the system takes of each block
constexpr std::uint32_t kFc2Bytes = 112U << 10;  // at most, where that is enough: two blocks fit
constexpr std::uint32_t kFc1Bytes = 116U << 10;  // at least: two blocks would not fit on a multiprocessor

constexpr std::uint32_t kMaxTurns = 32;  // of a warp: its lanes know one expert each

constexpr std::uint32_t tiles_of(std::uint32_t cols) {
  return static_cast<std::uint32_t>((cols + Fragment16x64::kCols - 1) / Fragment16x64::kCols);
}
std::uint32_t fc1_groups(const MoeProblem& p) {
  return static_cast<std::uint32_t>(p.fc1_rows() / Fragment16x64::kRows);
}
std::uint32_t fc2_groups(const MoeProblem& p) { return p.hidden / Fragment16x64::kRows; }

OneTokenPipe pipe_of_fc1(const MoeProblem& p, std::uint32_t num_sms, std::uint32_t max_bytes) {
  OneTokenNeeds needs;
  needs.num_tiles = tiles_of(p.hidden);
  needs.num_items = p.top_k * fc1_groups(p);
  needs.unit_shift = p.gated() && p.activation == Activation::kNvfp4Static ? 1 : 0;
  needs.num_blocks = std::min(num_sms, needs.num_items >> needs.unit_shift);
  // Some weights are multiplied while others come; rounding x takes that time, too.
  needs.min_turns = p.activation == Activation::kNvfp4Static ? 1 : 2;
  needs.max_slots = kMaxCopyGroups;
  needs.max_bytes = max_bytes;
  OneTokenPipe pipe = make_one_token_pipe(needs);
  if (pipe.slots == 0) return pipe;
  pipe.num_bytes = std::max(pipe.num_bytes, std::min(kFc1Bytes, max_bytes));
  return ((pipe.most_items() - 1) >> pipe.teams_shift()) < kMaxTurns ? pipe : OneTokenPipe{};
}

OneTokenPipe pipe_of_fc2(const MoeProblem& p, std::uint32_t max_bytes) {
  OneTokenNeeds needs;
  needs.num_tiles = tiles_of(p.intermediate);
  needs.num_items = p.top_k;
  needs.num_blocks = 1;
  needs.rows_differ = true;
  needs.max_slots = kMaxCopyGroups;
  needs.max_bytes = max_bytes;
  return make_one_token_pipe(needs);
}

template <class Sink>
Status launch_one_token(const OneTokenCall& call, const Sink& sink, std::uint32_t num_blocks, DeviceStream stream) {
  const LaunchShape shape{.blocks = num_blocks, .num_threads = kOneTokenThreads, .shared_bytes = call.pipe.num_bytes};
  return launch(kName, one_token_kernel<Sink>, shape, stream, call, sink);
}

template <bool kGated, bool kRounds>
Status launch_fc1(const OneTokenMoe& moe, const OneTokenCall& call, DeviceStream stream) {
  const MoeProblem& p = moe.problem;
  OneTokenFc1Sink<kGated, kRounds> sink;
  sink.fc1.h = moe.h;
  sink.fc1.h_f32 = moe.h_f32;
  sink.fc1.intermediate = p.intermediate;
  sink.fc1.gate_scale2 = moe.weights.gate_scale2;
  sink.fc1.up_scale2 = moe.weights.up_scale2;
  sink.fc1.function = {p.function, p.swiglu_alpha, p.swiglu_beta, p.swiglu_limit};
  sink.factor = moe.x_factor;
  sink.pair_factors = moe.pair_factors;
  sink.x_scale = moe.weights.fc1_input_scale;
  sink.h_scales = moe.weights.fc2_input_scale;
  sink.rule = p.input_rule;
  const std::uint32_t num_units = p.top_k * fc1_groups(p) >> call.pipe.unit_shift;
  return launch_one_token(call, sink, std::min(moe.num_sms, num_units), stream);
}

}  // namespace

OneTokenPipes choose_one_token_pipes(const MoeProblem& problem, std::uint32_t num_sms, std::uint32_t block_bytes,
                                     std::uint32_t sm_bytes) {
  OneTokenPipes pipes;
  pipes.fc2 = pipe_of_fc2(problem, std::min(kFc2Bytes, block_bytes));
  if (pipes.fc2.slots == 0) pipes.fc2 = pipe_of_fc2(problem, block_bytes);
  const std::uint32_t taken = pipes.fc2.num_bytes + 2 * kBlockReserve;
  if (taken < sm_bytes) pipes.fc1 = pipe_of_fc1(problem, num_sms, std::min(sm_bytes - taken, block_bytes));
  if (pipes.fc1.slots == 0) pipes.fc1 = pipe_of_fc1(problem, num_sms, block_bytes);
  return pipes;
}

Status allow_one_token_moe(const DeviceCaps& caps) {
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, (one_token_kernel<OneTokenFc1Sink<true, false>>), caps));
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, (one_token_kernel<OneTokenFc1Sink<true, true>>), caps));
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, (one_token_kernel<OneTokenFc1Sink<false, false>>), caps));
  NVFP4_RETURN_IF_ERROR(allow_shared_bytes(kName, (one_token_kernel<OneTokenFc1Sink<false, true>>), caps));
  return allow_shared_bytes(kName, one_token_kernel<OneTokenFc2Sink>, caps);
}

Status run_one_token_fc1(const OneTokenMoe& moe, DeviceStream stream) {
  const MoeProblem& p = moe.problem;
  OneTokenCall call;
  call.pipe = moe.pipes.fc1;
  call.matrices = moe.weights.gate_up;
  call.row_groups = fc1_groups(p);
  call.num_cols = p.hidden;
  call.rows = moe.x;
  call.pairs = moe.pairs;
  if (moe.rounds) {
    return p.gated() ? launch_fc1<true, true>(moe, call, stream) : launch_fc1<false, true>(moe, call, stream);
  }
  return p.gated() ? launch_fc1<true, false>(moe, call, stream) : launch_fc1<false, false>(moe, call, stream);
}

Status run_one_token_fc2(const OneTokenMoe& moe, DeviceStream stream) {
  const MoeProblem& p = moe.problem;
  OneTokenCall call;
  call.pipe = moe.pipes.fc2;
  call.matrices = moe.weights.down;
  call.row_groups = fc2_groups(p);
  call.num_cols = p.intermediate;
  call.rows = moe.h;
  call.pairs = moe.pairs;
  OneTokenFc2Sink sink;
  sink.factors = moe.h_factors;
  if (moe.rounds) sink.h_scales = moe.weights.fc2_input_scale;
  sink.rule = p.input_rule;
  sink.fc2.y = moe.y;
  sink.fc2.hidden = p.hidden;
  sink.fc2.down_scale2 = moe.weights.down_scale2;
  sink.fc2.router_weights = moe.router_weights;
  sink.fc2.shared_partial = moe.shared_partial;
  sink.fc2.shared_weights = moe.shared_weights;
  return launch_one_token(call, sink, fc2_groups(p), stream);
}

}  // namespace nvfp4::kernels::cuda_sm90
