#include "kernels/cpu_avx512/tile_isa_vnni.h"
#include "kernels/cpu_avx512/tile_kernels.h"
#include "kernels/cpu_shared/tile_products.h"

namespace nvfp4::kernels::cpu_avx512 {

constexpr cpu_shared::TileKernels kTileKernelsVnni = cpu_shared::make_tile_kernels<TileIsaVnni>();

}  // namespace nvfp4::kernels::cpu_avx512
