// embedding_loops: decodes one row of the table for each token.
#pragma once

#include "kernels/contract/embedding.h"

namespace nvfp4::kernels::cpu_portable {

[[nodiscard]] const EmbeddingKernel& embedding_loops();

}  // namespace nvfp4::kernels::cpu_portable
