// AVX-512 for kernels/cpu_shared/tile_products.h. Included by sources of this room alone; in an anonymous
// namespace, since they are compiled for different processors.
#pragma once

#include <immintrin.h>

#include "kernels/cpu_avx512/activation_rows.h"
#include "kernels/cpu_avx512/pack_rows.h"
#include "kernels/cpu_shared/tile_kernels.h"
#include "kernels/cpu_shared/tile_rows.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

// Everything but the dot product of bytes.
struct TileIsaBase {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;

  static F zero_f() { return _mm512_setzero_ps(); }
  static I zero_i() { return _mm512_setzero_si512(); }
  static F splat(const float* value) { return _mm512_set1_ps(*value); }
  static I splat_word(const void* four_bytes) {
    std::int32_t word;
    __builtin_memcpy(&word, four_bytes, 4);
    return _mm512_set1_epi32(word);
  }
  static F load_f(const float* at) { return _mm512_loadu_ps(at); }
  static I load_i(const std::uint8_t* at) { return _mm512_loadu_si512(at); }
  static void store(float* at, F value) { _mm512_storeu_ps(at, value); }
  static void store(std::uint8_t* at, I value) { _mm512_storeu_si512(at, value); }
  static __mmask16 first(std::uint64_t count) {
    return count >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1U << count) - 1);
  }
  static F load_some(const float* at, std::uint64_t count) { return _mm512_maskz_loadu_ps(first(count), at); }
  static void store_some(float* at, F value, std::uint64_t count) { _mm512_mask_storeu_ps(at, first(count), value); }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static F as_float(I a) { return _mm512_castsi512_ps(a); }
  static I shift8(I a) { return _mm512_slli_epi32(a, 8); }
  static I shift8_by_shuffle(I a) {
    return _mm512_shuffle_epi8(
        a, _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, 1, 2, -1, 4, 5, 6, -1, 8, 9, 10, -1, 12, 13, 14)));
  }
  // To nearest, ties to even; NaNs stay NaNs.
  static F round_to_bf16(F value) {
    const I bits = _mm512_castps_si512(value);
    const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const I sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    const I rounded = _mm512_and_si512(sum, _mm512_set1_epi32(static_cast<std::int32_t>(0xFFFF0000U)));
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7FC00000)));
  }

  // 2 * E2M1 of each code, plus 12 when unsigned.
  static I table(bool is_unsigned) {
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i offset = _mm_set1_epi8(is_unsigned ? 12 : 0);
    return _mm512_broadcast_i32x4(_mm_add_epi8(values, offset));
  }
  static void decode(const std::uint8_t* codes, I table, I& low, I& high) {
    const I nibble = _mm512_set1_epi8(15);
    const I bytes = _mm512_loadu_si512(codes);
    low = _mm512_shuffle_epi8(table, _mm512_and_si512(bytes, nibble));
    high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble));
  }
  static F tile_scale(const std::uint8_t* scales) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 20));
  }

  static constexpr auto pack_digits = cpu_avx512::pack_digits;
  static constexpr auto pack_codes = cpu_avx512::pack_codes;
  static constexpr auto quantize_nvfp4_row = cpu_avx512::quantize_nvfp4_row;
};

}  // namespace
}  // namespace nvfp4::kernels::cpu_avx512
