// The tile functions (kernels/cpu_shared/tile_kernels.h) of AVX2.
#pragma once

#include "kernels/cpu_shared/tile_kernels.h"

namespace nvfp4::kernels::cpu_avx2 {

extern const cpu_shared::TileKernels kTileKernels;

}  // namespace nvfp4::kernels::cpu_avx2
