// Attention as loops: scores of a cache block, softmax online from block to block, in eight lanes of a dot product.
#pragma once

#include "kernels/contract/row_kernels.h"

namespace nvfp4::kernels::cpu_portable {

void attend(const AttentionTile& tile, std::uint32_t begin, float* part, float* scratch);
void merge(const AttentionTile& tile, std::uint32_t begin, const float* next, float* part);
void finish(const AttentionTile& tile, const float* part, Rounding rounding);

}  // namespace nvfp4::kernels::cpu_portable
