// AVX2 for kernels/cpu_shared/tile_products.h. Included by sources of this room alone; in an anonymous
// namespace, since they are compiled for different processors.
#pragma once

#include <immintrin.h>

#include "kernels/cpu_avx2/activation_rows.h"
#include "kernels/cpu_avx2/pack_rows.h"
#include "kernels/cpu_shared/tile_kernels.h"
#include "kernels/cpu_shared/tile_rows.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

struct TileIsa {
  using F = __m256;
  using I = __m256i;
  // Products of bytes in 16-bit lanes. A block's four sums of two products stay below 4 * 2 * 255 * 12 = 24480, or
  // 24 * 128 in place of 255 * 12: they fit.
  using Partial = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kFew = 4;
  static constexpr int kFewChains = 1;
  static constexpr int kPanelTokens = 4;
  static constexpr int kPanelVectors = 1;

  static F zero_f() { return _mm256_setzero_ps(); }
  static I zero_i() { return _mm256_setzero_si256(); }
  static F splat(const float* value) { return _mm256_broadcast_ss(value); }
  static I splat_word(const void* four_bytes) {
    std::int32_t word;
    __builtin_memcpy(&word, four_bytes, 4);
    return _mm256_set1_epi32(word);
  }
  static F load_f(const float* at) { return _mm256_loadu_ps(at); }
  static I load_i(const std::uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
  static void store(float* at, F value) { _mm256_storeu_ps(at, value); }
  static void store(std::uint8_t* at, I value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), value); }
  static __m256i first(std::uint64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<std::int32_t>(count < 8 ? count : 8)), lanes);
  }
  static F load_some(const float* at, std::uint64_t count) { return _mm256_maskload_ps(at, first(count)); }
  static void store_some(float* at, F value, std::uint64_t count) { _mm256_maskstore_ps(at, first(count), value); }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F to_float(I a) { return _mm256_cvtepi32_ps(a); }
  static F as_float(I a) { return _mm256_castsi256_ps(a); }
  static I shift8(I a) { return _mm256_slli_epi32(a, 8); }
  static I shift8_by_shuffle(I a) { return shift8(a); }
  // To nearest, ties to even; NaNs stay NaNs.
  static F round_to_bf16(F value) {
    const I bits = _mm256_castps_si256(value);
    const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const I sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    const I rounded = _mm256_and_si256(sum, _mm256_set1_epi32(static_cast<std::int32_t>(0xFFFF0000U)));
    const F nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(_mm256_set1_epi32(0x7FC00000)), nan);
  }

  static Partial begin(I) { return zero_i(); }
  static Partial step(Partial sum, I u, I s) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, s)); }
  static I end(Partial sum, I start) { return _mm256_add_epi32(start, _mm256_madd_epi16(sum, _mm256_set1_epi16(1))); }
  static I minus_128_times_sum(const I* w) {
    I sum = zero_i();
    for (int d = 0; d < 4; ++d) sum = step(sum, _mm256_set1_epi8(1), w[d]);
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(-128));
  }

  // 2 * E2M1 of each code, plus 12 when unsigned.
  static I table(bool is_unsigned) {
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    return _mm256_broadcastsi128_si256(_mm_add_epi8(values, _mm_set1_epi8(is_unsigned ? 12 : 0)));
  }
  static void decode(const std::uint8_t* codes, I table, I& low, I& high) {
    const I nibble = _mm256_set1_epi8(15);
    const I bytes = load_i(codes);
    low = _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, nibble));
    high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
  }
  static F tile_scale(const std::uint8_t* scales) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(scales));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu8_epi32(bytes), 20));
  }

  static constexpr auto pack_digits = cpu_avx2::pack_digits;
  static constexpr auto pack_codes = cpu_avx2::pack_codes;
  static constexpr auto quantize_nvfp4_row = cpu_avx2::quantize_nvfp4_row;
};

}  // namespace
}  // namespace nvfp4::kernels::cpu_avx2
