#include "kernels/cpu_avx2/nvfp4_linear.h"

namespace nvfp4::kernels::cpu_avx2 {

std::span<const LinearKernel> nvfp4_linear() { return {}; }

}  // namespace nvfp4::kernels::cpu_avx2
