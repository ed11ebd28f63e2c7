// 16 floats in two AVX2 registers, for the templates of cpu_shared. Every function gives the bits of AVX-512's.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "base/cpu_features.h"

namespace nvfp4::kernels::cpu_avx2 {

struct FloatVector {
  static constexpr InstructionSet kNeeds = InstructionSet::kAvx2;
  // Rows that attention takes at once, for scores (of so many blocks) and for sums of values.
  static constexpr int kRows = 4;
  static constexpr std::uint32_t kScoreBlocks = 1;
  static constexpr int kValueRows = 2;

  struct V {
    __m256 low, high;
  };
  struct Pair {
    V even, odd;
  };
  struct Doubles {
    __m256d a, b, c, d;
  };

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static V all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static V all_bits(std::uint32_t x) {
    const __m256 bits = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(x)));
    return {bits, bits};
  }
  static V add(V a, V b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static V sub(V a, V b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static V mul(V a, V b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static V div(V a, V b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  // a * b + c
  static V fma(V a, V b, V c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  // c - a * b
  static V fnma(V a, V b, V c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }
  // b where one is NaN.
  static V max(V a, V b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static V min(V a, V b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
  static V nearest(V a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
  }
  // p * 2^n, n integral; in two steps, of which the first is exact.
  static V scale(V p, V n) { return {scale(p.low, n.low), scale(p.high, n.high)}; }
  // The same where 2^n is a normal number.
  static V scale_normal(V p, V n) {
    return {_mm256_mul_ps(p.low, power(_mm256_cvtps_epi32(n.low))),
            _mm256_mul_ps(p.high, power(_mm256_cvtps_epi32(n.high)))};
  }
  // a, but 0 where x < limit.
  static V zero_below(V a, V x, V limit) {
    return {_mm256_and_ps(a.low, _mm256_cmp_ps(x.low, limit.low, _CMP_NLT_UQ)),
            _mm256_and_ps(a.high, _mm256_cmp_ps(x.high, limit.high, _CMP_NLT_UQ))};
  }

  static V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static V load(const std::uint16_t* p) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {from_bf16(_mm256_castsi256_si128(codes)), from_bf16(_mm256_extracti128_si256(codes, 1))};
  }
  static V load(const std::uint8_t* p) {
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return from_e4m3(_mm256_slli_epi16(wide, 8));
  }
  // The first n of 16, zeros behind them.
  static V load_first(const float* p, std::size_t n) {
    const Masks masks = first(n);
    return {_mm256_maskload_ps(p, masks.low), n > 8 ? _mm256_maskload_ps(p + 8, masks.high) : _mm256_setzero_ps()};
  }
  template <class T>
  static V load_first(const T* p, std::size_t n) {
    T copy[16] = {};
    for (std::size_t i = 0; i < n; ++i) copy[i] = p[i];
    return load(copy);
  }
  // 16 pairs: kF32 has its even elements first.
  static Pair load_pairs(const float* p) { return {load(p), load(p + 16)}; }
  static Pair load_pairs(const std::uint16_t* p) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
    const __m256i upper = _mm256_set1_epi32(-65536);
    return {{_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))},
            {_mm256_castsi256_ps(_mm256_and_si256(low, upper)), _mm256_castsi256_ps(_mm256_and_si256(high, upper))}};
  }
  static Pair load_pairs(const std::uint8_t* p) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {from_e4m3(_mm256_slli_epi16(codes, 8)), from_e4m3(_mm256_and_si256(codes, _mm256_set1_epi16(-256)))};
  }
  static void store(float* p, V a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
  }
  static void store_first(float* p, V a, std::size_t n) {
    const Masks masks = first(n);
    _mm256_maskstore_ps(p, masks.low, a.low);
    if (n > 8) _mm256_maskstore_ps(p + 8, masks.high, a.high);
  }
  // The lower / upper 16 of the pairs (a0, b0), (a1, b1), ...
  static V interleave_low(V a, V b) { return interleave(a.low, b.low); }
  static V interleave_high(V a, V b) { return interleave(a.high, b.high); }

  static V round_to_bf16(V a) { return {round_to_bf16(a.low), round_to_bf16(a.high)}; }
  // The first n codes of 16 values: BF16 of values that are BF16 already, or E4M3, saturating.
  static void store_bf16(std::uint16_t* p, V a, std::size_t n) {
    const __m256i low = _mm256_srli_epi32(_mm256_castps_si256(a.low), 16);
    const __m256i high = _mm256_srli_epi32(_mm256_castps_si256(a.high), 16);
    alignas(32) std::uint16_t codes[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(codes),
                       _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8));
    for (std::size_t i = 0; i < n; ++i) p[i] = codes[i];
  }
  static void store_e4m3(std::uint8_t* p, V a, std::size_t n) {
    alignas(32) std::uint32_t codes[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(codes), to_e4m3(a.low));
    _mm256_store_si256(reinterpret_cast<__m256i*>(codes + 8), to_e4m3(a.high));
    for (std::size_t i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(codes[i]);
  }

  static float largest(V a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_shuffle_ps(four, four, 0x4e));
    return _mm_cvtss_f32(_mm_max_ps(four, _mm_shuffle_ps(four, four, 0xb1)));
  }
  // (((0 + 8) + (4 + 12)) + ...): halves first.
  static float sum(V a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_shuffle_ps(four, four, 0x4e));
    return _mm_cvtss_f32(_mm_add_ps(four, _mm_shuffle_ps(four, four, 0xb1)));
  }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static Doubles zero_doubles() {
    return {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  }
  static Doubles add_squares(Doubles sums, V v) {
    const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v.low));
    const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v.low, 1));
    const __m256d c = _mm256_cvtps_pd(_mm256_castps256_ps128(v.high));
    const __m256d d = _mm256_cvtps_pd(_mm256_extractf128_ps(v.high, 1));
    return {_mm256_fmadd_pd(a, a, sums.a), _mm256_fmadd_pd(b, b, sums.b), _mm256_fmadd_pd(c, c, sums.c),
            _mm256_fmadd_pd(d, d, sums.d)};
  }
  // In the order of sum().
  static double sum(Doubles sums) {
    const __m256d four = _mm256_add_pd(_mm256_add_pd(sums.a, sums.c), _mm256_add_pd(sums.b, sums.d));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

 private:
  struct Masks {
    __m256i low, high;
  };
  static Masks first(std::size_t n) {
    const __m256i count = _mm256_set1_epi32(static_cast<int>(n));
    return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }
  static __m256 power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static __m256 scale(__m256 p, __m256 n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
  }
  static __m256 from_bf16(__m128i codes) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(codes), 16));
  }
  // E4M3 codes in the upper halves of words, * 2^-8: FP16 has a wider exponent, and subnormals in the same place.
  static V from_e4m3(__m256i upper) {
    const __m256i code = _mm256_and_si256(_mm256_srai_epi16(upper, 1), _mm256_set1_epi16(static_cast<short>(0xbf80)));
    const __m256i magnitude = _mm256_slli_epi16(code, 1);
    const __m256i nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f00));
    const __m256i half = _mm256_or_si256(code, nan);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(half)), _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1))};
  }
  static V interleave(__m256 a, __m256 b) {
    const __m256 low = _mm256_unpacklo_ps(a, b);
    const __m256 high = _mm256_unpackhi_ps(a, b);
    return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
  }
  static __m256 round_to_bf16(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i even = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(even, quiet, nan);
    return _mm256_castsi256_ps(_mm256_and_si256(chosen, _mm256_set1_epi32(-65536)));
  }
  static __m256i to_e4m3(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, 20), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(magnitude, _mm256_set1_epi32(0x7ffff)), odd);
    __m256i code = _mm256_sub_epi32(_mm256_srli_epi32(rounded, 20), _mm256_set1_epi32(120 << 3));
    // Below 2^-6 codes are multiples of 2^-9, the last place of 2^14.
    const __m256 shifted = _mm256_add_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0x1p14F));
    const __m256i small = _mm256_and_si256(_mm256_castps_si256(shifted), _mm256_set1_epi32(0xff));
    code = _mm256_blendv_epi8(code, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), magnitude));
    code = _mm256_min_epi32(code, _mm256_set1_epi32(0x7e));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), nan);
    return _mm256_or_si256(code, _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80)));
  }
};

}  // namespace nvfp4::kernels::cpu_avx2
