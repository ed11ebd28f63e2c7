#include "kernels/contract/device_moe.h"

#include <fmt/format.h>

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kBlockCols = 16;

std::string size_refusal(std::string_view name, std::uint32_t size) {
  if (size == 0) return fmt::format("{} is 0", name);
  if (size % kBlockCols != 0) return fmt::format("{} {} is not a multiple of {}", name, size, kBlockCols);
  return {};
}

bool has_pointers(const MoeProblem& problem, const DeviceExperts& experts) {
  const bool has_weights = experts.gate_up != nullptr && experts.down != nullptr && experts.up_scale2 != nullptr &&
                           experts.down_scale2 != nullptr;
  const bool has_gate = !problem.gated() || experts.gate_scale2 != nullptr;
  const bool has_input_scales = problem.activation != Activation::kNvfp4Static ||
                                (experts.fc1_input_scale != nullptr && experts.fc2_input_scale != nullptr);
  return has_weights && has_gate && has_input_scales;
}

Error refused(std::string message) { return Error{ErrorCode::kInvalidArgument, "MoE layer", std::move(message)}; }

}  // namespace

std::string_view expert_function_name(ExpertFunction function) {
  switch (function) {
    case ExpertFunction::kSilu:
      return "silu";
    case ExpertFunction::kGeluTanh:
      return "gelu_tanh";
    case ExpertFunction::kSwigluOai:
      return "swigluoai";
    case ExpertFunction::kRelu2:
      return "relu2";
  }
  return "";
}

std::string moe_limits_refusal(const MoeProblem& problem) {
  for (const auto& [name, size] : {std::pair<std::string_view, std::uint32_t>{"the hidden size", problem.hidden},
                                   {"the experts' intermediate size", problem.intermediate}}) {
    if (std::string reason = size_refusal(name, size); !reason.empty()) return reason;
  }
  if (problem.shared_intermediate % kBlockCols != 0) {
    return size_refusal("the shared expert's intermediate size", problem.shared_intermediate);
  }
  if (problem.num_experts == 0 || problem.num_experts > kMaxMoeExperts) {
    return fmt::format("{} experts; 1 to {} are possible", problem.num_experts, kMaxMoeExperts);
  }
  if (problem.num_ids() < problem.num_experts) {
    return fmt::format("{} experts are here, but only {} exist", problem.num_experts, problem.num_ids());
  }
  if (problem.top_k == 0 || problem.top_k > kMaxMoeTopK) {
    return fmt::format("{} experts for each token; 1 to {} are possible", problem.top_k, kMaxMoeTopK);
  }
  if (problem.activation != Activation::k16Bit && problem.activation != Activation::kNvfp4Static &&
      problem.activation != Activation::kNvfp4Dynamic) {
    return fmt::format("the experts' activations are {}; 16-bit and NVFP4 ones are possible",
                       activation_name(problem.activation));
  }
  return {};
}

Status check_moe_call(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
                      const DeviceWorkspace& workspace) {
  const MoeProblem& problem = plan.problem;
  if (args.num_tokens > plan.sizes.max_tokens) {
    return refused(fmt::format("{} tokens, but the plan is for {}", args.num_tokens, plan.sizes.max_tokens));
  }
  if (workspace.num_bytes < plan.sizes.workspace_bytes ||
      (plan.sizes.workspace_bytes != 0 && workspace.data == nullptr)) {
    return refused(
        fmt::format("a workspace of {} bytes, but the plan needs {}", workspace.num_bytes, plan.sizes.workspace_bytes));
  }
  if (!has_pointers(problem, weights.experts)) return refused("a weight or scale of the experts is missing");
  if (problem.shared_intermediate != 0 && !has_pointers(problem, weights.shared)) {
    return refused("a weight or scale of the shared expert is missing");
  }
  if (args.num_tokens != 0 &&
      (args.x == nullptr || args.expert_ids == nullptr || args.router_weights == nullptr || args.y == nullptr)) {
    return refused("x, expert_ids, router_weights or y is missing");
  }
  return {};
}

}  // namespace nvfp4::kernels
