#include "kernels/contract/device_linear.h"

#include <fmt/format.h>

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kBlockCols = 16;

Error refused(std::string message) { return Error{ErrorCode::kInvalidArgument, "linear layer", std::move(message)}; }

bool is_static(Activation activation) {
  return activation == Activation::kNvfp4Static || activation == Activation::kFp8Static;
}

Status check_shards(const DeviceShardScales& shards, std::uint32_t out_features) {
  if (shards.count == 0 || shards.count > kMaxDeviceShards) {
    return refused(fmt::format("{} shards; 1 to {} are possible", shards.count, kMaxDeviceShards));
  }
  std::uint32_t begin = 0;
  for (std::uint32_t shard_idx = 0; shard_idx < shards.count; ++shard_idx) {
    const std::uint32_t end = shards.end_rows[shard_idx];
    if (end < begin) return refused(fmt::format("shard {} ends at row {}, before it begins", shard_idx, end));
    begin = end;
  }
  if (begin != out_features) return refused(fmt::format("the shards end at row {} of {}", begin, out_features));
  return {};
}

}  // namespace

std::string device_linear_limits_refusal(const DeviceLinearProblem& problem) {
  if (problem.weight == WeightFormat::kF32 || problem.weight == WeightFormat::kF16) {
    return fmt::format("the weight is {}; nvfp4, fp8 and bf16 are possible", weight_format_name(problem.weight));
  }
  if (problem.out_features == 0 || problem.out_features > kMaxDeviceOutFeatures) {
    return fmt::format("{} output features; 1 to {} are possible", problem.out_features, kMaxDeviceOutFeatures);
  }
  if (problem.in_features == 0 || problem.in_features % kBlockCols != 0) {
    return fmt::format("{} input features; a multiple of {} is possible", problem.in_features, kBlockCols);
  }
  if (problem.num_shards == 0 || problem.num_shards > kMaxDeviceShards) {
    return fmt::format("{} shards; 1 to {} are possible", problem.num_shards, kMaxDeviceShards);
  }
  if (problem.per_row_scale && problem.weight != WeightFormat::kFp8) {
    return fmt::format("a scale for each row of a weight in {}; only fp8 has one", weight_format_name(problem.weight));
  }
  if (problem.weight == WeightFormat::kBF16 && problem.activation != Activation::k16Bit) {
    return fmt::format("the weight is bf16, its activations are {}; only 16-bit ones are possible",
                       activation_name(problem.activation));
  }
  return {};
}

Status check_device_linear_call(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                                const DeviceLinearArgs& args, const DeviceWorkspace& workspace) {
  const DeviceLinearProblem& problem = plan.problem;
  if (args.num_tokens > plan.sizes.max_tokens) {
    return refused(fmt::format("{} tokens, but the plan is for {}", args.num_tokens, plan.sizes.max_tokens));
  }
  if (workspace.num_bytes < plan.sizes.workspace_bytes ||
      (plan.sizes.workspace_bytes != 0 && workspace.data == nullptr)) {
    return refused(
        fmt::format("a workspace of {} bytes, but the plan needs {}", workspace.num_bytes, plan.sizes.workspace_bytes));
  }
  if (weight.elements == nullptr || (problem.per_row_scale && weight.row_scales == nullptr) ||
      (problem.has_bias && weight.bias == nullptr) ||
      (problem.has_pre_quant_scale && weight.pre_quant_scale == nullptr)) {
    return refused("the weight, its row scales, bias or pre_quant_scale is missing");
  }
  if (!problem.per_row_scale) NVFP4_RETURN_IF_ERROR(check_shards(weight.shards, problem.out_features));
  if (is_static(problem.activation) && !(weight.input_scale > 0.0F)) {
    return refused(fmt::format("the input scale is {}; it must be above 0", weight.input_scale));
  }
  if (args.num_tokens != 0 && (args.x == nullptr || args.y == nullptr)) return refused("x or y is missing");
  return {};
}

}  // namespace nvfp4::kernels
