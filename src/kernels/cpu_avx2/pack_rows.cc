#include "kernels/cpu_avx2/pack_rows.h"

#include <immintrin.h>

#include "kernels/cpu_shared/pack_rows.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

struct PackIsa {
  static std::uint32_t largest_bits(const float* x, std::uint64_t num_blocks) {
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i largest = _mm256_setzero_si256();
    for (std::uint64_t i = 0; i < 2 * num_blocks; ++i) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 8 * i));
      largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
    }
    __m128i half = _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xB1));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(half));
  }

  static std::int32_t sum_of(__m256i integers) {
    __m128i part = _mm_add_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
    part = _mm_add_epi32(part, _mm_shuffle_epi32(part, 0x4E));
    part = _mm_add_epi32(part, _mm_shuffle_epi32(part, 0xB1));
    return _mm_cvtsi128_si32(part);
  }

  // Eight numbers: their digits in kPackedOrder's order of eight, row by row, 8 bytes each.
  static __m128i eight(const float* x, float factor, bool for_panel, cpu_shared::DigitBlock& block, __m128i& last) {
    const __m256i integers = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(factor)));
    const __m256i high_numbers = _mm256_srai_epi32(_mm256_add_epi32(integers, _mm256_set1_epi32(0x80)), 8);
    const __m256i low_numbers = _mm256_sub_epi32(integers, _mm256_slli_epi32(high_numbers, 8));
    if (_mm256_testz_si256(low_numbers, low_numbers) == 0) block.has_low = true;
    if (!for_panel) {
      block.high_sum += sum_of(high_numbers);
      block.low_sum += sum_of(low_numbers);
    }
    // Adding 128 to each digit makes all of them plain bytes; taking it back leaves signed ones.
    const __m256i bytes = _mm256_add_epi32(integers, _mm256_set1_epi32(for_panel ? 0x800080 : 0x808080));
    const __m256i digits = _mm256_xor_si256(bytes, _mm256_set1_epi32(for_panel ? 0 : 0x808080));
    // In each lane of 4 numbers: digit by digit, numbers 0, 2, 1, 3.
    const __m256i by_digit = _mm256_shuffle_epi8(
        digits, _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 10, 6, 14, 1, 9, 5, 13, 0, 8, 4, 12, -1, -1, -1, -1)));
    const __m128i low = _mm256_castsi256_si128(by_digit);
    const __m128i high = _mm256_extracti128_si256(by_digit, 1);
    last = _mm_unpackhi_epi16(low, high);
    return _mm_unpacklo_epi16(low, high);
  }

  static cpu_shared::DigitBlock pack_digits(const float* x, float factor, bool for_panel, std::uint8_t* digits) {
    cpu_shared::DigitBlock block;
    __m128i last_a;
    __m128i last_b;
    const __m128i a = eight(x, factor, for_panel, block, last_a);
    const __m128i b = eight(x + 8, factor, for_panel, block, last_b);
    auto* const out = reinterpret_cast<__m128i*>(digits);
    _mm_storeu_si128(out, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(out + 1, _mm_unpackhi_epi64(a, b));
    _mm_storeu_si128(out + 2, _mm_unpacklo_epi64(last_a, last_b));
    return block;
  }
};

using Packing = cpu_shared::RowPacking<PackIsa>;

}  // namespace

float pack_digits(const float* x, std::uint64_t count, const cpu_shared::PackedPlace& place, bool for_panel,
                  cpu_shared::DigitTile* out) {
  return Packing::pack_digits(x, count, place, for_panel, out);
}

void pack_codes(const std::int8_t* codes, const std::uint8_t* block_scales, std::uint64_t count,
                const cpu_shared::PackedPlace& place, cpu_shared::CodeTile* out) {
  Packing::pack_codes(codes, block_scales, count, place, out);
}

}  // namespace nvfp4::kernels::cpu_avx2
