#include <immintrin.h>

#include "kernels/cpu_avx512/peak_dots.h"

namespace nvfp4::kernels::cpu_avx512 {

float dot_int8_vnni(std::uint64_t num_rounds) {
  __m512i sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi16(0x01FF);  // 1 and -1: the sums stay
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0])));
}

}  // namespace nvfp4::kernels::cpu_avx512
