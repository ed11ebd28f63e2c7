#include "kernels/cpu_avx512/nvfp4_linear.h"

#include "kernels/cpu_avx512/tile_kernels.h"
#include "kernels/cpu_shared/tile_linear.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

using cpu_shared::tile_linear_kernel;
using cpu_shared::TileInput;

constexpr LinearKernel kKernels[] = {
    tile_linear_kernel<kTileKernelsVbmi, TileInput::kDigits>("linear_nvfp4_f32_avx512_vbmi",
                                                             InstructionSet::kAvx512Vbmi),
    tile_linear_kernel<kTileKernelsVbmi, TileInput::kCodes>("linear_nvfp4_nvfp4_avx512_vbmi",
                                                            InstructionSet::kAvx512Vbmi),
    tile_linear_kernel<kTileKernelsVnni, TileInput::kDigits>("linear_nvfp4_f32_avx512_vnni",
                                                             InstructionSet::kAvx512Vnni),
    tile_linear_kernel<kTileKernelsVnni, TileInput::kCodes>("linear_nvfp4_nvfp4_avx512_vnni",
                                                            InstructionSet::kAvx512Vnni),
    tile_linear_kernel<kTileKernels, TileInput::kDigits>("linear_nvfp4_f32_avx512", InstructionSet::kAvx512),
    tile_linear_kernel<kTileKernels, TileInput::kCodes>("linear_nvfp4_nvfp4_avx512", InstructionSet::kAvx512),
};

}  // namespace

std::span<const LinearKernel> nvfp4_linear() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_avx512
