#include "kernels/cpu_avx2/nvfp4_linear.h"

#include "kernels/cpu_avx2/tile_kernels.h"
#include "kernels/cpu_shared/tile_linear.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

using cpu_shared::tile_linear_kernel;
using cpu_shared::TileInput;

constexpr LinearKernel kKernels[] = {
    tile_linear_kernel<kTileKernels, TileInput::kDigits>("linear_nvfp4_f32_avx2", InstructionSet::kAvx2),
    tile_linear_kernel<kTileKernels, TileInput::kCodes>("linear_nvfp4_nvfp4_avx2", InstructionSet::kAvx2),
};

}  // namespace

std::span<const LinearKernel> nvfp4_linear() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_avx2
