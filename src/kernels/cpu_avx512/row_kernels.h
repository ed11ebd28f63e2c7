// The row kernels with AVX-512.
#pragma once

#include "kernels/contract/row_kernels.h"

namespace nvfp4::kernels::cpu_avx512 {

[[nodiscard]] const RowKernels& row_kernels();

}  // namespace nvfp4::kernels::cpu_avx512
