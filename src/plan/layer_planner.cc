#include "plan/layer_planner.h"

#include <utility>

namespace nvfp4::plan {

std::vector<std::uint32_t> sampled_tokens(std::uint32_t first, std::uint32_t last) {
  std::vector<std::uint32_t> tokens = {first};
  for (std::uint64_t power = 1; power < last; power *= 2) {
    if (power > first) tokens.push_back(static_cast<std::uint32_t>(power));
  }
  if (last > first) tokens.push_back(last);
  return tokens;
}

Result<checkpoint::ActivationChoice> choose_activation(const Layer& layer, ActivationRequest request) {
  const bool is_nvfp4 = layer.weight == kernels::WeightFormat::kNvfp4;
  return checkpoint::choose_activation({is_nvfp4, layer.block_size, layer.activation, layer.has_input_scale}, request,
                                       layer.kind);
}

// Kernels are named after operation, weights, activations and mechanism.
void add_rejection(PlannedLayer& line, std::string_view kernel, std::uint32_t first, std::uint32_t last,
                   std::string reason) {
  for (Rejection& known : line.rejections) {
    if (known.kernel == kernel && known.reason == reason && known.last_tokens + 1 == first) {
      known.last_tokens = last;
      return;
    }
  }
  const bool is_of_format = kernel.find(weight_format_name(line.layer.weight)) != std::string_view::npos;
  line.rejections.push_back({std::string(kernel), first, last, std::move(reason), is_of_format});
}

Status plan_layer(const Machine& machine, const Deployment& deployment, std::string_view kernel,
                  const std::string& where, PlannedLayer& line) {
  auto activation = choose_activation(line.layer, deployment.activations);
  NVFP4_RETURN_IF_ERROR(activation);
  auto shard = shard_of(line.layer, deployment.ranks);
  NVFP4_RETURN_IF_ERROR(shard);
  line.activation = activation->activation;
  line.activation_reason = activation->reason;
  shard->activation = line.activation;
  line.problem = problem_text(*shard);
  if (line.layer.is_transposed) {
    const std::string why = "is stored transposed, which no loader reads; export it with [out, in] matrices";
    if (!kernel.empty()) return Error{ErrorCode::kUnsupported, where, why};
    line.layout = "row_major";
    line.rejections.push_back({"any kernel", 1, deployment.max_tokens, why, true});
    return {};
  }
  if (const Gpu* gpu = std::get_if<Gpu>(&machine)) {
    return plan_on_gpu(*gpu, deployment, *shard, kernel, where, line);
  }
  return plan_on_cpu(std::get<Cpu>(machine), deployment, *shard, kernel, where, line);
}

Result<std::vector<Candidate>> candidates_of(const Machine& machine, const Deployment& deployment,
                                             const PlannedLayer& line) {
  auto shard = shard_of(line.layer, deployment.ranks);
  NVFP4_RETURN_IF_ERROR(shard);
  shard->activation = line.activation;
  if (line.layer.is_transposed || shard->operation == Operation::kEmbedding) return std::vector<Candidate>();
  if (const Gpu* gpu = std::get_if<Gpu>(&machine)) return gpu_candidates(*gpu, deployment, *shard, line.layer);
  return cpu_candidates(std::get<Cpu>(machine), deployment, *shard, line.projection);
}

}  // namespace nvfp4::plan
