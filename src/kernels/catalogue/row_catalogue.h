// The row kernels of this build.
#pragma once

#include "kernels/contract/row_kernels.h"

namespace nvfp4::kernels {

// The fastest ones that the instruction set allows.
[[nodiscard]] const RowKernels& row_kernels(InstructionSet instruction_set);

}  // namespace nvfp4::kernels
