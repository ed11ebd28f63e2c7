// y = W A(x) with BF16 weights. Order of sums and bounds: linear_rows_few.cuh, linear_rows_many.cuh.
#include "kernels/cuda_sm80/linear_rows.h"
#include "kernels/cuda_sm80/linear_rows_launch.cuh"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr const char* kName = "linear_bf16_mma";
using Launch = RowsLaunch<Bf16Weight>;

std::string refusal(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t /*max_tokens*/) {
  if (problem.weight != WeightFormat::kBF16) return "only for bf16 weights";
  return rows_refusal(problem, caps);
}

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceLinearPlan plan = rows_plan(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR(Launch::allow(kName, plan.sizes.choice[0]));
  return plan;
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  return Launch::run(kName, plan, weight, args, workspace, stream);
}

constexpr DeviceLinearKernel kKernel{kName, refusal, plan, run};

}  // namespace

const DeviceLinearKernel& linear_bf16_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm80
