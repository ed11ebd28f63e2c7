#include "kernels/cuda_sm90/linear_decode_choice.h"

#include <algorithm>
#include <array>
#include <span>

#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Warps that share an item, warps, slots, tiles of a piece, buffers of rows, blocks of a multiprocessor; as measured.
using Ways = std::span<const DecodeWay>;
constexpr std::array<DecodeWay, 5> kOneToken = {
    {{4, 12, 2, 5, 1, 2}, {8, 8, 2, 10, 1, 2}, {8, 16, 2, 10, 1, 1}, {8, 16, 2, 8, 1, 1}, {8, 8, 2, 5, 1, 1}}};
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
    const DecodePipe pipe = choose_decode_pipe(ways, needs, decode_memory(sizes));
    if (pipe.slots != 0) return pipe;
  }
  return choose_decode_pipe(kManyItems, needs, decode_memory(sizes));
}

}  // namespace

// From 9 tokens on 16 at a time, so that weights are read once, where their rows fit.
LinearDecodeChoice choose_linear_decode(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes,
                                        std::uint32_t num_tokens) {
  if (num_tokens > 8) {
    const DecodePipe pipe = pipe_of(problem, sizes, num_tokens, 2);
    if (pipe.slots != 0) return {2, pipe};
  }
  return {1, pipe_of(problem, sizes, num_tokens, 1)};
}

DevicePlanSizes decode_sizes(const DeviceCaps& caps, std::uint32_t max_tokens) {
  DevicePlanSizes sizes;
  sizes.max_tokens = max_tokens;
  sizes.num_sms = caps.num_sms;
  sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  sizes.choice[1] = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
  return sizes;
}

}  // namespace nvfp4::kernels::cuda_sm90
