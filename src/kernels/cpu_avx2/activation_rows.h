// Inputs of linear layers rounded by AVX2, bit for bit as cpu_shared/activation_rows.h and tile_rows.h do it.
#pragma once

#include <cstdint>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_avx2 {

// One row for one expert, kNvfp4Static or kNvfp4Dynamic; pre_quant_scale first, if there is one. scratch [in_features].
// codes [in_features]: 2 * E2M1, -12 to 12, in the order of k. block_scales [in_features / 16]: E4M3. Answers the
// multiplier: A(x) = code / 2 * e4m3(block scale) * multiplier. A row with a NaN or an infinity: zeros and NaN.
float quantize_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                         float* scratch, std::int8_t* codes, std::uint8_t* block_scales);

// cpu_shared::round_row(). May work in place.
float round_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                float* out);

}  // namespace nvfp4::kernels::cpu_avx2
