// 16 floats in one AVX-512 register, for the templates of cpu_shared.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "base/cpu_features.h"

namespace nvfp4::kernels::cpu_avx512 {

struct FloatVector {
  static constexpr InstructionSet kNeeds = InstructionSet::kAvx512;
  // Rows that attention takes at once, for scores (of so many blocks) and for sums of values.
  static constexpr int kRows = 8;
  static constexpr std::uint32_t kScoreBlocks = 2;
  static constexpr int kValueRows = 8;

  using V = __m512;
  struct Pair {
    V even, odd;
  };
  struct Doubles {
    __m512d low, high;
  };

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static V zero() { return _mm512_setzero_ps(); }
  static V all(float x) { return _mm512_set1_ps(x); }
  static V all_bits(std::uint32_t x) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(x))); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
  static V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
  // b where one is NaN.
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V nearest(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // p * 2^n, n integral.
  static V scale(V p, V n) { return _mm512_scalef_ps(p, n); }
  static V scale_normal(V p, V n) { return _mm512_scalef_ps(p, n); }
  // a, but 0 where x < limit.
  static V zero_below(V a, V x, V limit) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), a); }

  static __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load(const std::uint16_t* p) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16));
  }
  static V load(const std::uint8_t* p) {
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return from_e4m3(_mm256_slli_epi16(wide, 8));
  }
  // The first n of 16, zeros behind them.
  static V load_first(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static V load_first(const std::uint16_t* p, std::size_t n) {
    const __m256i codes = _mm256_maskz_loadu_epi16(first(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16));
  }
  static V load_first(const std::uint8_t* p, std::size_t n) {
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_maskz_loadu_epi8(first(n), p));
    return from_e4m3(_mm256_slli_epi16(wide, 8));
  }
  // 16 pairs: kF32 has its even elements first.
  static Pair load_pairs(const float* p) { return {load(p), load(p + 16)}; }
  static Pair load_pairs(const std::uint16_t* p) {
    const __m512i codes = _mm512_loadu_si512(p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(codes, 16)),
            _mm512_castsi512_ps(_mm512_and_si512(codes, _mm512_set1_epi32(-65536)))};
  }
  static Pair load_pairs(const std::uint8_t* p) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {from_e4m3(_mm256_slli_epi16(codes, 8)), from_e4m3(_mm256_and_si256(codes, _mm256_set1_epi16(-256)))};
  }
  static void store(float* p, V a) { _mm512_storeu_ps(p, a); }
  static void store_first(float* p, V a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), a); }
  // The lower / upper 16 of the pairs (a0, b0), (a1, b1), ...
  static V interleave_low(V a, V b) {
    const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, order, b);
  }
  static V interleave_high(V a, V b) {
    const __m512i order = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, order, b);
  }

  static V round_to_bf16(V a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i even = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_mask_or_epi32(even, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(quiet, _mm512_set1_epi32(-65536)));
  }
  // The first n codes of 16 values: BF16 of values that are BF16 already, or E4M3, saturating.
  static void store_bf16(std::uint16_t* p, V a, std::size_t n) {
    const __m512i codes = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtepi32_epi16(codes));
  }
  static void store_e4m3(std::uint8_t* p, V a, std::size_t n) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(magnitude, 20), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(magnitude, _mm512_set1_epi32(0x7ffff)), odd);
    __m512i code = _mm512_sub_epi32(_mm512_srli_epi32(rounded, 20), _mm512_set1_epi32(120 << 3));
    // Below 2^-6 codes are multiples of 2^-9, the last place of 2^14.
    const __m512 shifted = _mm512_add_ps(_mm512_castsi512_ps(magnitude), _mm512_set1_ps(0x1p14F));
    const __m512i small = _mm512_and_si512(_mm512_castps_si512(shifted), _mm512_set1_epi32(0xff));
    code = _mm512_mask_mov_epi32(code, _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x3c800000)), small);
    code = _mm512_min_epi32(code, _mm512_set1_epi32(0x7e));
    code = _mm512_mask_mov_epi32(code, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), _mm512_set1_epi32(0x7f));
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80));
    _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(_mm512_or_si512(code, sign)));
  }

  static float largest(V a) {
    a = max(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    a = max(a, _mm512_shuffle_f32x4(a, a, 0xb1));
    a = max(a, _mm512_shuffle_ps(a, a, 0x4e));
    a = max(a, _mm512_shuffle_ps(a, a, 0xb1));
    return _mm512_cvtss_f32(a);
  }
  // (((0 + 8) + (4 + 12)) + ...): halves first.
  static float sum(V a) {
    a = add(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    a = add(a, _mm512_shuffle_f32x4(a, a, 0xb1));
    a = add(a, _mm512_shuffle_ps(a, a, 0x4e));
    a = add(a, _mm512_shuffle_ps(a, a, 0xb1));
    return _mm512_cvtss_f32(a);
  }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static Doubles zero_doubles() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
  static Doubles add_squares(Doubles sums, V a) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    return {_mm512_fmadd_pd(low, low, sums.low), _mm512_fmadd_pd(high, high, sums.high)};
  }
  // In the order of sum().
  static double sum(Doubles sums) {
    const __m512d eight = _mm512_add_pd(sums.low, sums.high);
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

 private:
  // E4M3 codes in the upper halves of words, * 2^-8: FP16 has a wider exponent, and subnormals in the same place.
  static V from_e4m3(__m256i upper) {
    const __m256i code = _mm256_and_si256(_mm256_srai_epi16(upper, 1), _mm256_set1_epi16(static_cast<short>(0xbf80)));
    const __m256i magnitude = _mm256_slli_epi16(code, 1);
    const __m256i nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f00));
    return _mm512_cvtph_ps(_mm256_or_si256(code, nan));
  }
};

}  // namespace nvfp4::kernels::cpu_avx512
