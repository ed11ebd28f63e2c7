// y = W A(x) with E4M3 weights, which become BF16 in registers, exactly; activations that are rounded are by a kernel
// before, to numbers that are exact in BF16. Order of sums and bounds: linear_rows_few.cuh, linear_rows_many.cuh.
#include "kernels/cuda_sm80/linear_rows.h"
#include "kernels/cuda_sm80/linear_rows_launch.cuh"
#include "kernels/cuda_sm80/offers.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr const char* kName = "linear_fp8_bf16_mma";
using Launch = RowsLaunch<Fp8Weight>;

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceLinearPlan plan = linear_fp8_bf16_mma_offer().outline(problem, caps, max_tokens);
  NVFP4_RETURN_IF_ERROR(Launch::allow(kName, plan.sizes.choice[0]));
  return plan;
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  return Launch::run(kName, plan, weight, args, workspace, stream);
}

const DeviceLinearKernel kKernel = kernel_of<DeviceLinearKernel>(linear_fp8_bf16_mma_offer(), plan, run);

}  // namespace

const DeviceLinearKernel& linear_fp8_bf16_mma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm80
