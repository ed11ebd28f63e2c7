// Of the ways to divide a block, what is served depends on the one that takes the least memory.
#include "kernels/cuda_sm90/decode_offers.h"

#include <algorithm>
#include <string>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_decode_pipe.h"
#include "kernels/cuda_sm90/moe_decode.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"
#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr std::uint32_t kBestLinearTokens = 8;  // wgmma takes 16 in the same time
constexpr std::uint32_t kChunk = 8;             // tokens of an item
constexpr std::uint32_t kFewRows = 8;           // of activations, which all stay in shared memory
constexpr DecodeWay kLeastWay = {1, 8, 2, 1, 1, 1};
constexpr DecodeWay kLeastSharedWay = {4, 8, 2, 4, 1, 1};  // warps share an item

DeviceSpeed linear_speed(const DeviceCaps& /*caps*/) { return {0.63, 0.1, 0.2, 2.3}; }
DeviceSpeed expert_speed(const DeviceCaps& /*caps*/) { return {0.66, 0.2, 0.3, 5}; }

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }
constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}
DecodeMemory memory_of(const DeviceCaps& caps) {
  return {static_cast<std::uint32_t>(caps.shared_bytes_per_block),
          static_cast<std::uint32_t>(caps.shared_bytes_per_sm)};
}
bool fits(const DecodeWay& way, const DecodeNeeds& needs, const DeviceCaps& caps) {
  return choose_decode_pipe({&way, 1}, needs, memory_of(caps)).slots != 0;
}

bool is_rounded(const DeviceLinearProblem& problem) {
  return problem.activation != Activation::k16Bit || problem.has_pre_quant_scale;
}

bool fits(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  DecodeNeeds needs;
  needs.num_tiles = divided_up(problem.in_features, Fragment16x64::kCols);
  needs.rows_stay = num_tokens <= 8;
  needs.row_slots = std::min(num_tokens, 8U);
  return fits(kLeastWay, needs, caps);
}

std::string refuse_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
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
  for (std::uint32_t num_tokens = 1; num_tokens <= max_tokens; ++num_tokens) {
    if (fits(problem, caps, num_tokens)) continue;
    return std::to_string(num_tokens) + " tokens of " + std::to_string(problem.in_features) +
           " input features do not fit into shared memory";
  }
  return {};
}

DeviceLinearPlan outline_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  plan.sizes.choice[1] = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
  if (!is_rounded(problem)) return plan;
  plan.sizes.workspace_bytes =
      aligned(std::size_t{max_tokens} * problem.in_features * sizeof(Bf16Bits)) + max_tokens * sizeof(float);
  return plan;
}

// The routed experts, or the shared one (top_k 0: every token goes there).
struct Expert {
  std::uint32_t hidden, intermediate, num_experts, top_k;
  bool gated, rows_of_pairs;

  [[nodiscard]] std::uint32_t num_pairs(std::uint32_t tokens) const { return tokens * std::max(top_k, 1U); }
  [[nodiscard]] std::uint32_t num_rows(std::uint32_t tokens) const {
    return rows_of_pairs ? num_pairs(tokens) : tokens;
  }
  [[nodiscard]] std::uint32_t fc1_groups() const {
    return (gated ? 2 : 1) * intermediate / static_cast<std::uint32_t>(Fragment16x64::kRows);
  }
  [[nodiscard]] std::uint32_t max_chunks(std::uint32_t tokens) const {
    return top_k == 0 ? divided_up(tokens, kChunk) : max_decode_chunks(num_pairs(tokens), num_experts, kChunk);
  }
  [[nodiscard]] std::uint32_t chunk_bytes(std::uint32_t tokens) const {
    if (top_k == 0) return 0;
    return DecodeChunkPlaces{max_chunks(tokens), kChunk, num_pairs(tokens), num_experts}.num_bytes();
  }
};

bool is_rounded(const MoeProblem& p) { return p.activation != Activation::k16Bit; }
Expert routed_expert(const MoeProblem& p) {
  const bool scales_differ = p.activation == Activation::kNvfp4Static && !p.one_fc1_input_scale;
  const bool weights_matter = is_rounded(p) && p.router_weight_on_input;
  return {p.hidden, p.intermediate, p.num_experts, p.top_k, p.gated(), scales_differ || weights_matter};
}
Expert shared_expert(const MoeProblem& p) { return {p.hidden, p.shared_intermediate, 1, 0, p.gated(), false}; }

bool fits(const Expert& e, const DeviceCaps& caps, std::uint32_t tokens) {
  constexpr std::uint32_t kWarps = 16;
  DecodeNeeds fc1;
  fc1.num_tiles = divided_up(e.hidden, Fragment16x64::kCols);
  fc1.rows_stay = e.num_rows(tokens) <= kFewRows;
  fc1.row_slots = std::min(e.num_rows(tokens), kChunk);
  fc1.chunk_bytes = e.chunk_bytes(tokens);
  const bool has_few = e.max_chunks(tokens) * e.fc1_groups() < kWarps * caps.num_sms;
  DecodeNeeds fc2;
  fc2.num_tiles = divided_up(e.intermediate, Fragment16x64::kCols);
  fc2.rows_stay = e.num_pairs(tokens) <= kChunk;
  fc2.row_slots = std::min(e.num_pairs(tokens), kChunk);
  fc2.chunk_bytes = e.chunk_bytes(tokens);
  return fits(has_few ? kLeastSharedWay : kLeastWay, fc1, caps) && fits(kLeastWay, fc2, caps);
}

std::string refuse_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (caps.sm != 90) return "only for compute capability 9.0";
  if (std::string reason = moe_limits_refusal(problem); !reason.empty()) return reason;
  if (problem.batch_invariant) return "a token's last bits depend on how many tokens there are";
  if (max_tokens > kMaxMoeDecodeTokens) {
    return std::to_string(max_tokens) + " tokens; at most " + std::to_string(kMaxMoeDecodeTokens) + " are possible";
  }
  if (max_tokens * problem.top_k > kMaxDecodePairs) {
    return std::to_string(max_tokens) + " tokens of " + std::to_string(problem.top_k) + " experts each; at most " +
           std::to_string(kMaxDecodePairs) + " pairs are possible";
  }
  for (std::uint32_t tokens = 1; tokens <= max_tokens; ++tokens) {
    if (fits(routed_expert(problem), caps, tokens) &&
        (problem.shared_intermediate == 0 || fits(shared_expert(problem), caps, tokens))) {
      continue;
    }
    return "the activations of so many features do not fit into shared memory";
  }
  return {};
}

std::size_t workspace_of(const MoeProblem& p, const Expert& e, std::uint32_t tokens) {
  const std::size_t num_pairs = e.num_pairs(tokens);
  const std::size_t num_rows = e.num_rows(tokens);
  std::size_t bytes =
      aligned(num_pairs * e.intermediate * sizeof(Bf16Bits)) + aligned(num_pairs * e.hidden * sizeof(float));
  if (!is_rounded(p)) return bytes;
  bytes += aligned(num_rows * e.hidden * sizeof(Bf16Bits)) + aligned(num_rows * sizeof(float));
  return bytes + aligned(num_pairs * e.intermediate * sizeof(float)) + aligned(num_pairs * sizeof(float));
}

DeviceMoePlan outline_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceMoePlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.choice[0] = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
  plan.sizes.choice[1] = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
  std::size_t bytes = aligned(std::size_t{max_tokens} * problem.top_k * sizeof(std::int32_t));
  bytes += workspace_of(problem, routed_expert(problem), max_tokens);
  if (problem.shared_intermediate != 0) bytes += workspace_of(problem, shared_expert(problem), max_tokens);
  plan.sizes.workspace_bytes = bytes;
  return plan;
}

}  // namespace

const DeviceLinearOffer& linear_nvfp4_bf16_mma_bulk_offer() {
  static constexpr DeviceLinearOffer kOffer{"linear_nvfp4_bf16_mma_bulk", refuse_linear, outline_linear, linear_speed,
                                            kBestLinearTokens};
  return kOffer;
}

const DeviceMoeOffer& moe_nvfp4_bf16_mma_bulk_offer() {
  static constexpr DeviceMoeOffer kOffer{"moe_nvfp4_bf16_mma_bulk", refuse_moe, outline_moe, expert_speed};
  return kOffer;
}

}  // namespace nvfp4::kernels::cuda_sm90
