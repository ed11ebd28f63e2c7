// Without VNNI: products of bytes in 16-bit lanes. A block's four sums of two products stay below 4 * 2 * 255 * 12 =
// 24480, or 24 * 128 in place of 255 * 12: they fit.
#include "kernels/cpu_avx512/tile_kernels.h"

#include "kernels/cpu_avx512/tile_isa.h"
#include "kernels/cpu_shared/tile_products.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

struct TileIsa : TileIsaBase {
  static constexpr int kFew = 8;
  static constexpr int kFewChains = 4;
  static constexpr int kPanelTokens = 6;
  static constexpr int kPanelVectors = 1;
  using Partial = I;

  static Partial begin(I) { return zero_i(); }
  static Partial step(Partial sum, I u, I s) { return _mm512_add_epi16(sum, _mm512_maddubs_epi16(u, s)); }
  static I end(Partial sum, I start) { return _mm512_add_epi32(start, _mm512_madd_epi16(sum, _mm512_set1_epi16(1))); }
  static I minus_128_times_sum(const I* w) {
    I sum = zero_i();
    for (int d = 0; d < 4; ++d) sum = step(sum, _mm512_set1_epi8(1), w[d]);
    return _mm512_madd_epi16(sum, _mm512_set1_epi16(-128));
  }
};

}  // namespace

constexpr cpu_shared::TileKernels kTileKernels = cpu_shared::make_tile_kernels<TileIsa>();

}  // namespace nvfp4::kernels::cpu_avx512
