#include "kernels/cpu_avx2/activation_rows.h"

#include <immintrin.h>

#include "kernels/cpu_shared/activation_quantizer.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

struct ActivationIsa {
  using Vector = __m256;
  static constexpr std::uint64_t kLanes = 8;

  static Vector load(const float* at) { return _mm256_loadu_ps(at); }
  static void store(float* at, Vector value) { _mm256_storeu_ps(at, value); }
  static Vector splat(float value) { return _mm256_set1_ps(value); }
  static Vector from_bits(std::uint32_t bits) {
    return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<std::int32_t>(bits)));
  }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector fnma(Vector a, Vector b, Vector c) { return _mm256_fnmadd_ps(a, b, c); }
  static Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static Vector bit_and(Vector a, Vector b) { return _mm256_and_ps(a, b); }
  static Vector bit_or(Vector a, Vector b) { return _mm256_or_ps(a, b); }
  static Vector max_bits(Vector a, Vector b) {
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
  }
  static Vector replace_zeros(Vector a, Vector by) {
    return _mm256_blendv_ps(a, by, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_EQ_OQ));
  }
  static Vector div_or_zero(Vector a, Vector b) {
    return _mm256_and_ps(_mm256_cmp_ps(b, _mm256_setzero_ps(), _CMP_NEQ_OQ), _mm256_div_ps(a, b));
  }
  // value where a > b, else zero.
  static Vector keep_above(Vector value, Vector a, Vector b) {
    return _mm256_and_ps(value, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
  }
  static float largest_lane(Vector a) {
    a = max_bits(a, _mm256_permute2f128_ps(a, a, 1));
    a = max_bits(a, _mm256_permute_ps(a, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm256_cvtss_f32(max_bits(a, _mm256_permute_ps(a, _MM_SHUFFLE(2, 3, 0, 1))));
  }

  // Lane i: the largest magnitude of block i of 8. Blocks meet in halves, pairs of lanes and lanes of registers.
  static Vector block_maxima(const float* x) {
    const Vector a = max_of_four(x), b = max_of_four(x + 32);
    return max_bits(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)), _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
  }

  // E4M3 codes of E4M3 numbers.
  static void store_e4m3(Vector a, std::uint8_t* codes) {
    const __m256i normal =
        _mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a), 20), _mm256_set1_epi32((127 - 7) << 3));
    const __m256i small = _mm256_cvtps_epi32(mul(a, splat(0x1p9F)));
    const Vector is_small = _mm256_cmp_ps(a, splat(0x1p-6F), _CMP_LT_OQ);
    const __m256i code =
        _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(normal), _mm256_castsi256_ps(small), is_small));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes), _mm_packus_epi16(words, words));
  }

  // Integers of four vectors as bytes, bounded by 12.
  static void store_codes(Vector a, Vector b, Vector c, Vector d, std::int8_t* codes) {
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    const __m256i more_words = _mm256_packs_epi32(_mm256_cvtps_epi32(c), _mm256_cvtps_epi32(d));
    __m256i bytes = _mm256_packs_epi16(words, more_words);
    bytes = _mm256_max_epi8(_mm256_min_epi8(bytes, _mm256_set1_epi8(12)), _mm256_set1_epi8(-12));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(bytes, order));
  }

 private:
  static Vector magnitude(const float* at) { return bit_and(load(at), from_bits(0x7FFFFFFFU)); }
  static Vector max_of_one(const float* x) { return max_bits(magnitude(x), magnitude(x + 8)); }
  // Halves: blocks 0 and 4.
  static Vector max_of_two(const float* x) {
    const Vector a = max_of_one(x), b = max_of_one(x + 64);
    return max_bits(_mm256_blend_ps(a, b, 0xF0), _mm256_permute2f128_ps(a, b, 0x21));
  }
  // Pairs of lanes in each half: blocks 0, 1 and 4, 5, each twice.
  static Vector max_of_four(const float* x) {
    const Vector a = max_of_two(x), b = max_of_two(x + 16);
    return max_bits(_mm256_blend_ps(a, b, 0xCC), _mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 3, 2)));
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

}  // namespace nvfp4::kernels::cpu_avx2
