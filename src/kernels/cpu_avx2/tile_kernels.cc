#include "kernels/cpu_avx2/tile_kernels.h"

#include "kernels/cpu_avx2/tile_isa.h"
#include "kernels/cpu_shared/tile_products.h"

namespace nvfp4::kernels::cpu_avx2 {

constexpr cpu_shared::TileKernels kTileKernels = cpu_shared::make_tile_kernels<TileIsa>();

}  // namespace nvfp4::kernels::cpu_avx2
