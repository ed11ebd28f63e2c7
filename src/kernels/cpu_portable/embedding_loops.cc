#include "kernels/cpu_portable/embedding_loops.h"

#include "kernels/cpu_portable/row_decoder.h"
#include "kernels/cpu_shared/row_scale.h"

namespace nvfp4::kernels::cpu_portable {
namespace {

void run(const LinearWeight& weight, std::span<const TokenId> tokens, float* y, WorkerPool& pool) {
  pool.run(tokens.size(), [&](std::size_t t, std::size_t) {
    float* const row = y + t * weight.in_features;
    decode_row(weight, 0, tokens[t], row);
    if (weight.scale2.empty()) return;
    const float scale = cpu_shared::scale_of_row(weight, 0, tokens[t]);
    for (std::uint64_t k = 0; k < weight.in_features; ++k) row[k] *= scale;
  });
}

constexpr EmbeddingKernel kKernel{"embedding_loops", run};

}  // namespace

const EmbeddingKernel& embedding_loops() { return kKernel; }

}  // namespace nvfp4::kernels::cpu_portable
