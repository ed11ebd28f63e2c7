// linear_nvfp4_*: NVFP4 weights in tiles, with AVX-512.
#pragma once

#include <span>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_avx512 {

[[nodiscard]] std::span<const LinearKernel> nvfp4_linear();

}  // namespace nvfp4::kernels::cpu_avx512
