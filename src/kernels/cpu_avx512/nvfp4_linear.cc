#include "kernels/cpu_avx512/nvfp4_linear.h"

namespace nvfp4::kernels::cpu_avx512 {

std::span<const LinearKernel> nvfp4_linear() { return {}; }

}  // namespace nvfp4::kernels::cpu_avx512
