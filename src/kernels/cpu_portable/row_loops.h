// The row kernels as loops of plain C++.
#pragma once

#include "kernels/contract/row_kernels.h"

namespace nvfp4::kernels::cpu_portable {

[[nodiscard]] const RowKernels& row_loops();

}  // namespace nvfp4::kernels::cpu_portable
