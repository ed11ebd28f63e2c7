// Inputs packed for the tile kernels (kernels/cpu_shared/tile_kernels.h: pack_digits, pack_codes) with AVX2.
#pragma once

#include "kernels/cpu_shared/tile_kernels.h"

namespace nvfp4::kernels::cpu_avx2 {

float pack_digits(const float* x, std::uint64_t count, const cpu_shared::PackedPlace& place, bool for_panel,
                  cpu_shared::DigitTile* out);
void pack_codes(const std::int8_t* codes, const std::uint8_t* block_scales, std::uint64_t count,
                const cpu_shared::PackedPlace& place, cpu_shared::CodeTile* out);

}  // namespace nvfp4::kernels::cpu_avx2
