// The tile functions (kernels/cpu_shared/tile_kernels.h) of this room's instruction sets.
#pragma once

#include "kernels/cpu_shared/tile_kernels.h"

namespace nvfp4::kernels::cpu_avx512 {

extern const cpu_shared::TileKernels kTileKernels;      // AVX-512 F, BW, DQ, VL
extern const cpu_shared::TileKernels kTileKernelsVnni;  // and VNNI
extern const cpu_shared::TileKernels kTileKernelsVbmi;  // and VBMI

}  // namespace nvfp4::kernels::cpu_avx512
