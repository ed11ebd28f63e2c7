// linear_{f32,f16,bf16,fp8}_*: row-major weights without block scales, with AVX2.
#pragma once

#include <span>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_avx2 {

[[nodiscard]] std::span<const LinearKernel> plain_linear();

}  // namespace nvfp4::kernels::cpu_avx2
