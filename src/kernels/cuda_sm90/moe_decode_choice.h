// How the kernels for few tokens divide an MoE layer: known without CUDA.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/contract/device_moe.h"
#include "kernels/cuda_sm90/linear_decode_pipe.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"
#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {

inline constexpr std::uint32_t kDecodeChunk = 8;  // tokens of an item

// The routed experts, or the shared one (top_k 0: every token goes there).
struct DecodeExpert {
  std::uint32_t hidden, intermediate, num_experts, top_k;
  bool gated;
  bool rows_of_pairs;  // in FC1: the rows of a token's experts differ

  [[nodiscard]] std::uint32_t num_pairs(std::uint32_t tokens) const { return tokens * std::max(top_k, 1U); }
  [[nodiscard]] std::uint32_t num_rows(std::uint32_t tokens) const {
    return rows_of_pairs ? num_pairs(tokens) : tokens;
  }
  [[nodiscard]] std::uint32_t fc1_groups() const {
    return (gated ? 2 : 1) * intermediate / static_cast<std::uint32_t>(Fragment16x64::kRows);
  }
  [[nodiscard]] std::uint32_t fc2_groups() const { return hidden / static_cast<std::uint32_t>(Fragment16x64::kRows); }
  [[nodiscard]] std::uint32_t max_chunks(std::uint32_t tokens) const {
    return top_k == 0 ? (tokens + kDecodeChunk - 1) / kDecodeChunk
                      : max_decode_chunks(num_pairs(tokens), num_experts, kDecodeChunk);
  }
  // If tokens choose their experts at random. A chunk holds the tokens of most experts.
  [[nodiscard]] double expected_chunks(std::uint32_t tokens) const {
    if (top_k == 0) return max_chunks(tokens);
    return num_experts * (1.0 - std::pow(1.0 - static_cast<double>(top_k) / num_experts, tokens));
  }
  [[nodiscard]] std::uint32_t chunk_bytes(std::uint32_t tokens) const {
    if (top_k == 0) return 0;
    return DecodeChunkPlaces{max_chunks(tokens), kDecodeChunk, num_pairs(tokens), num_experts}.num_bytes();
  }
};

[[nodiscard]] DecodeExpert routed_expert(const MoeProblem& problem);
[[nodiscard]] DecodeExpert shared_expert(const MoeProblem& problem);

struct DecodeMachine {
  std::uint32_t num_sms;
  DecodeMemory memory;
};

// How a call of so many tokens runs. sums_tokens: FC2 sums over the experts. Slots 0: there is no way.
struct DecodePipes {
  DecodePipe fc1, fc2;
  bool sums_tokens = false;
};
[[nodiscard]] DecodePipes choose_decode_pipes(const DecodeExpert& expert, const DecodeMachine& machine,
                                              std::uint32_t tokens);
// Whether there is a way for every number of tokens up to that.
[[nodiscard]] bool decode_fits(const DecodeExpert& expert, const DecodeMachine& machine, std::uint32_t max_tokens);

// What FC2 keeps in shared memory where it sums over the experts: 16 sums of each pair, and what they are added up
// with.
inline constexpr std::uint32_t kTokenSumRows = 16;
inline constexpr std::uint32_t kTokenSumSlotBytes = 8;
[[nodiscard]] constexpr std::uint32_t token_sum_bytes(std::uint32_t num_pairs) {
  return num_pairs * (kTokenSumRows * 4 + kTokenSumSlotBytes);
}

}  // namespace nvfp4::kernels::cuda_sm90
