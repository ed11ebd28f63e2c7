// The embedding kernel of this build.
#pragma once

#include "kernels/contract/embedding.h"

namespace nvfp4::kernels {

[[nodiscard]] const EmbeddingKernel& embedding_kernel();

}  // namespace nvfp4::kernels
