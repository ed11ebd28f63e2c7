// VBMI looks bytes up by six bits: with the table four times over, what a nibble's neighbour leaves there needs no
// mask.
#include "kernels/cpu_avx512/tile_isa_vnni.h"
#include "kernels/cpu_avx512/tile_kernels.h"
#include "kernels/cpu_shared/tile_products.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

struct TileIsaVbmi : TileIsaVnni {
  static void decode(const std::uint8_t* codes, I table, I& low, I& high) {
    const I bytes = _mm512_loadu_si512(codes);
    low = _mm512_permutexvar_epi8(bytes, table);
    high = _mm512_permutexvar_epi8(_mm512_srli_epi16(bytes, 4), table);
  }
};

}  // namespace

constexpr cpu_shared::TileKernels kTileKernelsVbmi = cpu_shared::make_tile_kernels<TileIsaVbmi>();

}  // namespace nvfp4::kernels::cpu_avx512
