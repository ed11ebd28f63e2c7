#include "kernels/cpu_avx512/activation_rows.h"

#include <immintrin.h>

#include "kernels/cpu_shared/activation_quantizer.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

struct ActivationIsa {
  using Vector = __m512;
  static constexpr std::uint64_t kLanes = 16;

  static Vector load(const float* at) { return _mm512_loadu_ps(at); }
  static void store(float* at, Vector value) { _mm512_storeu_ps(at, value); }
  static Vector splat(float value) { return _mm512_set1_ps(value); }
  static Vector from_bits(std::uint32_t bits) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<std::int32_t>(bits)));
  }
  static Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector div(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector fnma(Vector a, Vector b, Vector c) { return _mm512_fnmadd_ps(a, b, c); }
  static Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  static Vector bit_and(Vector a, Vector b) { return _mm512_and_ps(a, b); }
  static Vector bit_or(Vector a, Vector b) { return _mm512_or_ps(a, b); }
  static Vector max_bits(Vector a, Vector b) {
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
  }
  static Vector replace_zeros(Vector a, Vector by) {
    return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_EQ_OQ), by);
  }
  static Vector div_or_zero(Vector a, Vector b) {
    return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_NEQ_OQ), a, b);
  }
  // value where a > b, else zero.
  static Vector keep_above(Vector value, Vector a, Vector b) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), value);
  }
  static float largest_lane(Vector a) {
    return _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32(_mm512_reduce_max_epi32(_mm512_castps_si512(a)))));
  }

  // Lane i: the largest magnitude of block i of 16. Blocks meet in halves, quarters and lanes of registers.
  static Vector block_maxima(const float* x) {
    const Vector low = max_of_eight(x), high = max_of_eight(x + 128);
    return max_bits(_mm512_shuffle_f32x4(low, high, _MM_SHUFFLE(2, 0, 2, 0)),
                    _mm512_shuffle_f32x4(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
  }

  // E4M3 codes of E4M3 numbers.
  static void store_e4m3(Vector a, std::uint8_t* codes) {
    const __m512i normal =
        _mm512_sub_epi32(_mm512_srli_epi32(_mm512_castps_si512(a), 20), _mm512_set1_epi32((127 - 7) << 3));
    const __mmask16 is_small = _mm512_cmp_ps_mask(a, splat(0x1p-6F), _CMP_LT_OQ);
    const __m512i code = _mm512_mask_cvtps_epi32(normal, is_small, mul(a, splat(0x1p9F)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(code));
  }

  // Integers of four vectors as bytes, bounded by 12.
  static void store_codes(Vector a, Vector b, Vector c, Vector d, std::int8_t* codes) {
    const __m512i words = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const __m512i more_words = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
    __m512i bytes = _mm512_packs_epi16(words, more_words);
    bytes = _mm512_max_epi8(_mm512_min_epi8(bytes, _mm512_set1_epi8(12)), _mm512_set1_epi8(-12));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(codes, _mm512_permutexvar_epi32(order, bytes));
  }

 private:
  static Vector magnitude(const float* at) { return bit_and(load(at), from_bits(0x7FFFFFFFU)); }
  // Halves: blocks 0 and 4.
  static Vector max_of_two(const float* x) {
    const Vector a = magnitude(x), b = magnitude(x + 64);
    const __m512i across = _mm512_alignr_epi64(_mm512_castps_si512(b), _mm512_castps_si512(a), 4);
    return max_bits(_mm512_mask_blend_ps(0xFF00, a, b), _mm512_castsi512_ps(across));
  }
  // Pairs of lanes in each half: blocks 0, 1 and 4, 5, each twice.
  static Vector max_of_four(const float* x) {
    const Vector a = max_of_two(x), b = max_of_two(x + 16);
    return max_bits(_mm512_mask_blend_ps(0xCCCC, a, b), _mm512_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 3, 2)));
  }
  // Lanes in each half: blocks 0 to 3 and 4 to 7, each twice.
  static Vector max_of_eight(const float* x) {
    const Vector a = max_of_four(x), b = max_of_four(x + 32);
    return max_bits(_mm512_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)), _mm512_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
  }
};

using Quantizer = cpu_shared::ActivationQuantizer<ActivationIsa>;

}  // namespace

float quantize_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                         float* scratch, std::int8_t* codes, std::uint8_t* block_scales) {
  return Quantizer::quantize_nvfp4_row(weight, activation, expert_idx, x, scratch, codes, block_scales);
}

float round_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                float* out) {
  return Quantizer::round_row(weight, activation, expert_idx, x, out);
}

}  // namespace nvfp4::kernels::cpu_avx512
