// y = W A(x) with NVFP4 weights and activations: a kernel rounds x to codes, another one multiplies. Order of sums and
// bounds: fp4_kernel.cuh.
#include "kernels/cuda_shared/quantize_codes.h"
#include "kernels/cuda_sm120/fp4_choice.h"
#include "kernels/cuda_sm120/fp4_launch.cuh"
#include "kernels/cuda_sm120/linear_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm120/linear_sink.cuh"
#include "kernels/cuda_sm120/offers.h"
#include "layouts/block_scaled_16x64.h"

namespace nvfp4::kernels::cuda_sm120 {
namespace {

constexpr const char* kName = "linear_nvfp4_nvfp4_mma";

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceLinearPlan plan = linear_nvfp4_nvfp4_mma_offer().outline(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR(Fp4Launch<LinearSink>::allow(kName));
  return plan;
}

Status round_activations(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
                         std::uint8_t* codes, float* factors, DeviceStream stream) {
  QuantizeCodes q;
  q.rows.activation = plan.problem.activation;
  q.rows.rule = plan.problem.input_rule;
  q.rows.num_rows = args.num_tokens;
  q.rows.in_features = plan.problem.in_features;
  q.rows.x = args.x;
  q.rows.pre_quant_scale = plan.problem.has_pre_quant_scale ? weight.pre_quant_scale : nullptr;
  q.rows.input_scale = weight.input_scale;
  q.rows.row_scale = factors;
  q.codes = codes;
  q.code_rows = args.num_tokens;
  return quantize_codes(q, stream);
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
  if (args.num_tokens == 0) return {};
  const DeviceLinearProblem& problem = plan.problem;
  const LinearPlaces places = linear_places(plan);
  auto* const codes = reinterpret_cast<std::uint8_t*>(workspace.data + places.codes_at);
  auto* const factors = reinterpret_cast<float*>(workspace.data + places.factors_at);
  NVFP4_RETURN_IF_ERROR(round_activations(plan, weight, args, codes, factors, stream));
  const Fp4Choice choice = choose_fp4(linear_layer(problem, plan.sizes.num_sms), args.num_tokens);
  Fp4Call call;
  call.weights = static_cast<const std::uint8_t*>(weight.elements);
  call.row_groups = static_cast<std::uint32_t>(BlockScaled16x64::num_row_groups(problem.out_features));
  call.k_tiles = static_cast<std::uint32_t>(BlockScaled16x64::num_tiles(problem.in_features));
  call.codes = codes;
  call.code_rows = args.num_tokens;
  call.num_rows = args.num_tokens;
  call.num_splits = choice.num_splits;
  call.chunks_per_split = choice.chunks_per_split;
  call.arrivals = reinterpret_cast<std::uint32_t*>(workspace.data);
  call.parts = reinterpret_cast<float*>(workspace.data + places.parts_at);
  LinearSink sink;
  sink.shards = weight.shards;
  sink.factors = factors;
  sink.bias = problem.has_bias ? weight.bias : nullptr;
  sink.num_features = problem.out_features;
  sink.is_f32 = problem.output == DeviceOutput::kF32;
  sink.y = args.y;
  const std::uint64_t max_items = std::uint64_t{choice.num_tiles} * choice.num_splits;
  return Fp4Launch<LinearSink>::run(kName, choice.shape_idx, max_items, plan.sizes.num_sms, call, sink, stream);
}

const DeviceLinearKernel kKernel = kernel_of<DeviceLinearKernel>(linear_nvfp4_nvfp4_mma_offer(), plan, run);

}  // namespace

const DeviceLinearKernel& linear_nvfp4_nvfp4_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm120
