// VNNI for kernels/cpu_shared/tile_products.h: four products of bytes are summed in one instruction. Included by
// sources of this room that may use it alone; in an anonymous namespace, so that each has its own code.
#pragma once

#include "kernels/cpu_avx512/tile_isa.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

struct TileIsaVnni : TileIsaBase {
  static constexpr int kFew = 8;
  static constexpr int kFewChains = 4;
  static constexpr int kPanelTokens = 6;
  static constexpr int kPanelVectors = 2;
  using Partial = I;

  static Partial begin(I sum) { return sum; }
  static Partial step(Partial sum, I u, I s) { return _mm512_dpbusd_epi32(sum, u, s); }
  static I end(Partial sum, I) { return sum; }
  static I minus_128_times_sum(const I* w) {
    I sum = zero_i();
    for (int d = 0; d < 4; ++d) sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(-128), w[d]);
    return _mm512_sub_epi32(zero_i(), sum);
  }
};

}  // namespace
}  // namespace nvfp4::kernels::cpu_avx512
