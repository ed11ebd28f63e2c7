#include <immintrin.h>

#include "kernels/cpu_avx512/peak_dots.h"

namespace nvfp4::kernels::cpu_avx512 {

float dot_bf16(std::uint64_t num_rounds) {
  __m512 sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto a = (__m512bh)_mm512_set1_epi16(0x3F80);
  const auto b = (__m512bh)_mm512_set1_epi32(0x3F80BF80);  // 1 and -1: the sums stay
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

}  // namespace nvfp4::kernels::cpu_avx512
