#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm80/linear_rows_plan.h"

namespace nvfp4::kernels::cuda_sm80 {

Result<RowsCall> begin_rows(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                            const DeviceLinearArgs& args, const DeviceWorkspace& workspace, DeviceStream stream) {
  const DeviceLinearProblem& problem = plan.problem;
  RowsCall call;
  call.weights = static_cast<const std::uint8_t*>(weight.elements);
  call.x = args.x;
  call.in_features = problem.in_features;
  call.output.shards = weight.shards;
  call.output.row_scales = problem.per_row_scale ? weight.row_scales : nullptr;
  call.output.bias = problem.has_bias ? weight.bias : nullptr;
  call.output.num_features = problem.out_features;
  call.output.num_tokens = args.num_tokens;
  call.output.is_f32 = problem.output == DeviceOutput::kF32;
  call.output.y = args.y;
  if (!is_rounded(problem)) return call;
  const RowsWorkspace places = rows_workspace(plan);
  QuantizeActivations q;
  q.activation = problem.activation;
  q.rule = problem.input_rule;
  q.num_rows = args.num_tokens;
  q.in_features = problem.in_features;
  q.x = args.x;
  q.pre_quant_scale = problem.has_pre_quant_scale ? weight.pre_quant_scale : nullptr;
  q.input_scale = weight.input_scale;
  q.values = reinterpret_cast<Bf16Bits*>(workspace.data + places.values_at);
  q.row_scale = reinterpret_cast<float*>(workspace.data + places.factors_at);
  NVFP4_RETURN_IF_ERROR(quantize_activations(q, stream));
  call.x = q.values;
  call.output.factors = q.row_scale;
  return call;
}

}  // namespace nvfp4::kernels::cuda_sm80
