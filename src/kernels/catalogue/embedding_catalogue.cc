#include "kernels/catalogue/embedding_catalogue.h"

#include "kernels/cpu_portable/embedding_loops.h"

namespace nvfp4::kernels {

const EmbeddingKernel& embedding_kernel() { return cpu_portable::embedding_loops(); }

}  // namespace nvfp4::kernels
