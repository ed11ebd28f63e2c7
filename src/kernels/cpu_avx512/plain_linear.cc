#include "kernels/cpu_avx512/plain_linear.h"

namespace nvfp4::kernels::cpu_avx512 {

std::span<const LinearKernel> plain_linear() { return {}; }

}  // namespace nvfp4::kernels::cpu_avx512
