#include "kernels/cuda_sm90/moe_decode_choice.h"

#include <array>
#include <cmath>
#include <span>

#include "kernels/cuda_shared/moe_rounding.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kFewRows = 8;  // of activations, which all stay in shared memory

constexpr std::uint32_t tiles_of(std::uint32_t cols) {
  return static_cast<std::uint32_t>((cols + Fragment16x64::kCols - 1) / Fragment16x64::kCols);
}

// Warps that share an item, warps, slots, tiles of a piece, buffers of rows, blocks of a multiprocessor; as measured.
// Few items of FC2: fewer of a multiprocessor than so many warps.
using Ways = std::span<const DecodeWay>;
constexpr std::uint32_t kFewFc2Warps = 16;
constexpr std::array<DecodeWay, 3> kFewItemsFc1 = {{{4, 12, 1, 8, 1, 2}, {4, 16, 2, 8, 1, 1}, {4, 8, 2, 4, 1, 1}}};
constexpr std::array<DecodeWay, 2> kPairedFc1 = {{{2, 16, 2, 8, 2, 1}, {2, 16, 2, 4, 2, 1}}};
constexpr std::array<DecodeWay, 7> kFc1 = {{{1, 16, 2, 8, 2, 1},
                                            {1, 12, 2, 11, 2, 1},
                                            {1, 16, 2, 8, 1, 1},
                                            {1, 12, 2, 8, 1, 1},
                                            {1, 16, 2, 4, 1, 1},
                                            {1, 8, 2, 4, 1, 1},
                                            {1, 8, 2, 1, 1, 1}}};
constexpr std::array<DecodeWay, 7> kFc2 = {{{1, 16, 2, 12, 2, 1},
                                            {1, 12, 2, 12, 2, 1},
                                            {1, 16, 2, 12, 1, 1},
                                            {1, 12, 2, 6, 2, 1},
                                            {1, 16, 2, 6, 1, 1},
                                            {1, 8, 2, 4, 1, 1},
                                            {1, 8, 2, 1, 1, 1}}};
constexpr std::array<DecodeWay, 2> kFewItemsFc2 = {{{4, 16, 2, 8, 1, 1}, {4, 8, 2, 4, 1, 1}}};
// A block for each row group, as many as there are multiprocessors at most.
constexpr std::array<DecodeWay, 4> kTokenFc2 = {
    {{2, 16, 2, 8, 1, 1}, {2, 12, 2, 8, 1, 1}, {2, 16, 1, 8, 1, 1}, {2, 8, 2, 4, 1, 1}}};

// At least: small blocks would leave some multiprocessors more of the next kernel's blocks than others.
constexpr std::uint32_t kTokenFc2Bytes = 116U << 10;

// A block's warps take items in rounds, and in the last one many may have nothing to do: then two share an item of FC1
// if that saves a sixth of the time, four if it saves a quarter.
std::uint32_t warps_of_fc1_item(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t tokens) {
  constexpr std::uint32_t kWarps = 16;
  const double items = e.expected_chunks(tokens) * e.fc1_groups() / machine.num_sms;
  const auto time = [&](std::uint32_t split) { return std::ceil(items * split / kWarps) / split; };
  const std::uint32_t few = time(2) < 0.84 * time(1) ? 2 : 1;
  return time(4) < 0.75 * time(few) ? 4 : few;
}

DecodePipe pipe_of_fc1(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t tokens) {
  DecodeNeeds needs;
  needs.num_tiles = tiles_of(e.hidden);
  needs.rows_stay = e.num_rows(tokens) <= kFewRows;
  needs.row_slots = std::min(e.num_rows(tokens), kDecodeChunk);
  needs.chunk_bytes = e.chunk_bytes(tokens);
  const std::uint32_t split = warps_of_fc1_item(e, machine, tokens);
  if (split != 1) {
    const DecodePipe pipe =
        choose_decode_pipe(split == 2 ? Ways{kPairedFc1} : Ways{kFewItemsFc1}, needs, machine.memory);
    if (pipe.slots != 0) return pipe;
  }
  return choose_decode_pipe(kFc1, needs, machine.memory);
}

DecodePipe pipe_of_fc2(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t tokens) {
  DecodeNeeds needs;
  needs.num_tiles = tiles_of(e.intermediate);
  needs.rows_stay = e.num_pairs(tokens) <= kDecodeChunk;
  needs.row_slots = std::min(e.num_pairs(tokens), kDecodeChunk);
  needs.chunk_bytes = e.chunk_bytes(tokens);
  if (e.max_chunks(tokens) * e.fc2_groups() < kFewFc2Warps * machine.num_sms) {
    const DecodePipe pipe = choose_decode_pipe(kFewItemsFc2, needs, machine.memory);
    if (pipe.slots != 0) return pipe;
  }
  return choose_decode_pipe(kFc2, needs, machine.memory);
}

DecodePipe pipe_of_token_fc2(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t tokens) {
  DecodeNeeds needs;
  needs.num_tiles = tiles_of(e.intermediate);
  needs.rows_stay = true;
  needs.row_slots = e.num_pairs(tokens);
  needs.chunk_bytes = e.chunk_bytes(tokens);
  needs.result_bytes = token_sum_bytes(e.num_pairs(tokens));
  if (e.fc2_groups() > machine.num_sms) return {};
  DecodePipe pipe = choose_decode_pipe(kTokenFc2, needs, machine.memory);
  if (pipe.slots != 0) pipe.num_bytes = std::max(pipe.num_bytes, std::min(kTokenFc2Bytes, machine.memory.block_bytes));
  return pipe;
}

}  // namespace

DecodeExpert routed_expert(const MoeProblem& p) {
  const bool scales_differ = p.activation == Activation::kNvfp4Static && !p.one_fc1_input_scale;
  const bool weights_matter = is_rounded(p) && p.router_weight_on_input;  // else they are a factor of the sums
  return {p.hidden, p.intermediate, p.num_experts, p.top_k, p.gated(), scales_differ || weights_matter};
}

DecodeExpert shared_expert(const MoeProblem& p) { return {p.hidden, p.shared_intermediate, 1, 0, p.gated(), false}; }

DecodePipes choose_decode_pipes(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t tokens) {
  DecodePipes pipes;
  pipes.fc1 = pipe_of_fc1(e, machine, tokens);
  if (e.top_k != 0 && e.num_pairs(tokens) <= kFewPairs) {
    pipes.fc2 = pipe_of_token_fc2(e, machine, tokens);
    pipes.sums_tokens = pipes.fc2.slots != 0;
  }
  if (!pipes.sums_tokens) pipes.fc2 = pipe_of_fc2(e, machine, tokens);
  return pipes;
}

bool decode_fits(const DecodeExpert& e, const DecodeMachine& machine, std::uint32_t max_tokens) {
  for (std::uint32_t tokens = 1; tokens <= max_tokens; ++tokens) {
    const DecodePipes pipes = choose_decode_pipes(e, machine, tokens);
    if (pipes.fc1.slots == 0 || pipes.fc2.slots == 0) return false;
  }
  return true;
}

}  // namespace nvfp4::kernels::cuda_sm90
