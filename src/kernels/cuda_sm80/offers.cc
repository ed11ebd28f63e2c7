#include "kernels/cuda_sm80/offers.h"

#include <algorithm>
#include <string>

#include "kernels/cuda_sm80/fragment_choice.h"
#include "kernels/cuda_sm80/linear_rows_plan.h"
#include "kernels/cuda_sm80/moe_places.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t kVersion = 2;           // of all kernels here; DeviceOffer says what for
constexpr std::uint64_t kMaxPairs = 1U << 28U;  // blocks of a launch are below 2^31

// Hopper multiplies faster than mma.sync asks it to.
constexpr std::uint32_t kHopper = 90;
DeviceSpeed fragment_speed(const DeviceCaps& caps) { return {0.7, caps.sm == kHopper ? 0.29 : 0.55, 0.4, 3.5}; }
DeviceSpeed expert_speed(const DeviceCaps& caps) { return {0.6, caps.sm == kHopper ? 0.29 : 0.55, 0.5, 12}; }
DeviceSpeed rows_speed(const DeviceCaps& caps) { return {0.85, caps.sm == kHopper ? 0.42 : 0.65, 0.3, 3}; }

std::string refuse_fragments(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (problem.weight != WeightFormat::kNvfp4) return "only for nvfp4 weights";
  if (std::string reason = linear_refusal(problem, caps); !reason.empty()) return reason;
  if (std::string reason = fragment_refusal(caps, problem.in_features); !reason.empty()) return reason;
  return tiles_refusal(fragment_layer(plan_without_workspace(problem, caps, max_tokens)), max_tokens);
}
DeviceLinearPlan outline_fragments(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                   std::uint32_t max_tokens) {
  DeviceLinearPlan plan = plan_without_workspace(problem, caps, max_tokens);
  add_workspace(plan, fragment_needs(fragment_layer(plan), max_tokens));
  return plan;
}

std::string choice_text(std::uint32_t rows, std::uint32_t tokens, const TileChoice& choice) {
  if (choice.span_tiles == 1) return tiling_text(rows, tokens, choice.num_splits);
  return tiling_text(rows, tokens) + " in " + std::to_string(choice.num_splits) + " equal shares";
}
std::string fragment_tiling(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  const TileChoice choice =
      choose_fragments(fragment_layer(plan_without_workspace(problem, caps, num_tokens)), num_tokens);
  const FragmentShape& shape = kFragmentShapes[choice.kind_idx];
  return choice_text(shape.rows(), shape.tokens(), choice);
}
std::string rows_tiling(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  const RowsChoice choice = choose_rows(rows_layer(plan_without_workspace(problem, caps, num_tokens)), num_tokens);
  if (choice.is_few) return tiling_text(choice.few.rows(), choice.few.tokens());
  return choice_text(choice.many().rows, choice.many().tokens, choice.tiles);
}
// FC1's; FC2's may have other rows.
std::string expert_tiling(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) {
  const auto row_groups = static_cast<std::uint32_t>(problem.fc1_rows() / 16);
  const FragmentShape& shape = kFragmentShapes[choose_expert_shape(
      {num_tokens * problem.top_k, problem.num_experts, row_groups, caps.num_sms, problem.batch_invariant})];
  return tiling_text(shape.rows(), shape.tokens());
}

std::string refuse_fp8(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (problem.weight != WeightFormat::kFp8) return "only for fp8 weights";
  return rows_refusal(problem, caps, max_tokens);
}
std::string refuse_bf16(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (problem.weight != WeightFormat::kBF16) return "only for bf16 weights";
  return rows_refusal(problem, caps, max_tokens);
}

std::string refuse_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  if (!has_code_for(caps.sm)) return "only for compute capabilities 8.x, 9.0, 12.0 and 12.1";
  if (std::string reason = moe_limits_refusal(problem); !reason.empty()) return reason;
  if (std::string reason = rounding_refusal(problem); !reason.empty()) return reason;
  const std::uint32_t most = std::max({problem.hidden, problem.intermediate, problem.shared_intermediate});
  if (std::string reason = fragment_refusal(caps, most); !reason.empty()) return reason;
  const std::uint64_t pairs = std::uint64_t{max_tokens} * problem.top_k;
  // In tiles of 8 pairs and 32 rows, of the smallest shape.
  const std::uint64_t blocks = (pairs / 8 + problem.num_experts + 1) * (std::uint64_t{most} * 2 / 32 + 1);
  if (pairs >= kMaxPairs || blocks >= 1ULL << 31U) {
    return std::to_string(max_tokens) + " tokens of " + std::to_string(problem.top_k) +
           " experts each are more than one launch can have";
  }
  return {};
}

DeviceMoePlan outline_moe(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceMoePlan plan{problem, {}};
  plan.sizes.max_tokens = max_tokens;
  plan.sizes.num_sms = caps.num_sms;
  plan.sizes.workspace_bytes = MoePlaces(problem, max_tokens, nullptr).num_bytes;
  return plan;
}

template <class Offer>
constexpr Offer offer_of(const Offer& offer, decltype(Offer::tiling) tiling) {
  Offer whole = with_tiling(offer, tiling);
  whole.version = kVersion;
  return whole;
}

}  // namespace

TileLayer fragment_layer(const DeviceLinearPlan& plan) {
  constexpr double kBytesPerWeight = static_cast<double>(Fragment16x64::kBytes) / (16 * 64);
  return {plan.problem.out_features,   plan.problem.in_features, kBytesPerWeight,
          plan.sizes.num_sms,          plan.sizes.choice[0],     plan.sizes.choice[1],
          plan.problem.batch_invariant};
}

const DeviceLinearOffer& linear_nvfp4_bf16_mma_offer() {
  static constexpr DeviceLinearOffer kOffer = offer_of(
      DeviceLinearOffer{"linear_nvfp4_bf16_mma", refuse_fragments, outline_fragments, fragment_speed}, fragment_tiling);
  return kOffer;
}

const DeviceLinearOffer& linear_fp8_bf16_mma_offer() {
  static constexpr DeviceLinearOffer kOffer =
      offer_of(DeviceLinearOffer{"linear_fp8_bf16_mma", refuse_fp8, rows_plan, rows_speed}, rows_tiling);
  return kOffer;
}

const DeviceLinearOffer& linear_bf16_mma_offer() {
  static constexpr DeviceLinearOffer kOffer =
      offer_of(DeviceLinearOffer{"linear_bf16_mma", refuse_bf16, rows_plan, rows_speed}, rows_tiling);
  return kOffer;
}

const DeviceMoeOffer& moe_nvfp4_bf16_mma_offer() {
  static constexpr DeviceMoeOffer kOffer =
      offer_of(DeviceMoeOffer{"moe_nvfp4_bf16_mma", refuse_moe, outline_moe, expert_speed}, expert_tiling);
  return kOffer;
}

}  // namespace nvfp4::kernels::cuda_sm80
