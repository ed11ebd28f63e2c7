#include "kernels/catalogue/row_catalogue.h"

#include "kernels/cpu_portable/row_loops.h"
#if NVFP4_X86
#include "kernels/cpu_avx2/row_kernels.h"
#include "kernels/cpu_avx512/row_kernels.h"
#endif

namespace nvfp4::kernels {

const RowKernels& row_kernels([[maybe_unused]] InstructionSet instruction_set) {
#if NVFP4_X86
  if (instruction_set >= InstructionSet::kAvx512) return cpu_avx512::row_kernels();
  if (instruction_set >= InstructionSet::kAvx2) return cpu_avx2::row_kernels();
#endif
  return cpu_portable::row_loops();
}

}  // namespace nvfp4::kernels
