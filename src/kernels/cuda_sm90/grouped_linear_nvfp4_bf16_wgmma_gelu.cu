#include "kernels/cuda_sm90/grouped_linear_nvfp4_bf16_wgmma_up.cuh"
#include "kernels/cuda_sm90/wgmma_launch.cuh"

namespace nvfp4::kernels::cuda_sm90 {

NVFP4_GROUPED_WGMMA(, ExpertUp<ExpertFunction::kGeluTanh, false>);
NVFP4_GROUPED_WGMMA(, ExpertUp<ExpertFunction::kGeluTanh, true>);

}  // namespace nvfp4::kernels::cuda_sm90
