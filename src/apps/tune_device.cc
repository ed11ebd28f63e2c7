#include "apps/tune_device.h"

namespace nvfp4::apps {
namespace {

using kernels::WeightFormat;

BenchScheme scheme_of(const plan::Layer& shard) {
  const bool is_16_bit = shard.activation == Activation::k16Bit;
  switch (shard.weight) {
    case WeightFormat::kNvfp4:
      return is_16_bit ? BenchScheme::kW4A16 : BenchScheme::kW4A4;
    case WeightFormat::kFp8:
      return is_16_bit ? BenchScheme::kFp8 : BenchScheme::kW8A8;
    case WeightFormat::kF16:
      return BenchScheme::kF16;
    case WeightFormat::kF32:
      return BenchScheme::kF32;
    case WeightFormat::kBF16:
      break;
  }
  return BenchScheme::kBF16;
}

ExpertActivation expert_activation_of(kernels::ExpertFunction function) {
  switch (function) {
    case kernels::ExpertFunction::kRelu2:
      return ExpertActivation::kRelu2;
    case kernels::ExpertFunction::kGeluTanh:
      return ExpertActivation::kGeluTanh;
    case kernels::ExpertFunction::kSwigluOai:
      return ExpertActivation::kSwigluOai;
    case kernels::ExpertFunction::kSilu:
      break;
  }
  return ExpertActivation::kSilu;
}

}  // namespace

// By way of its text, whose limits are checked there.
Result<BenchProblem> bench_problem_of(const plan::Layer& shard, std::uint32_t whole_experts, std::uint32_t num_tokens) {
  BenchProblem problem;
  problem.scheme = scheme_of(shard);
  problem.num_tokens = num_tokens;
  if (shard.operation == plan::Operation::kExperts) {
    problem.operation = BenchProblem::Operation::kMoe;
    problem.expert_activation = expert_activation_of(shard.function);
    problem.hidden_size = shard.in_features;
    problem.intermediate_size = shard.out_features;
    problem.num_experts = whole_experts;
    problem.top_k = shard.top_k;
  } else {
    problem.out_features = shard.out_features;
    problem.in_features = shard.in_features;
  }
  auto parsed = parse_bench_problem(problem.to_string());
  NVFP4_RETURN_IF_ERROR(parsed);
  if (!parsed->is_moe() || shard.num_experts == whole_experts) return parsed;
  parsed->num_experts = shard.num_experts;
  parsed->num_global_experts = whole_experts;
  return parsed;
}

}  // namespace nvfp4::apps
