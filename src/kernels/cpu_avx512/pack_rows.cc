#include "kernels/cpu_avx512/pack_rows.h"

#include <immintrin.h>

#include "kernels/cpu_shared/pack_rows.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

struct PackIsa {
  static std::uint32_t largest_bits(const float* x, std::uint64_t num_blocks) {
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i largest = _mm512_setzero_si512();
    for (std::uint64_t b = 0; b < num_blocks; ++b) {
      largest = _mm512_max_epu32(largest, _mm512_and_si512(_mm512_loadu_si512(x + 16 * b), magnitude));
    }
    return _mm512_reduce_max_epu32(largest);
  }

  static cpu_shared::DigitBlock pack_digits(const float* x, float factor, bool for_panel, std::uint8_t* digits) {
    const __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(factor)));
    // Adding 128 to each digit makes all of them plain bytes; taking it back leaves signed ones.
    const __m512i bytes = _mm512_add_epi32(integers, _mm512_set1_epi32(for_panel ? 0x800080 : 0x808080));
    const __m512i all_digits = _mm512_xor_si512(bytes, _mm512_set1_epi32(for_panel ? 0 : 0x808080));
    // In each lane of 4 numbers: digit by digit, numbers 0, 2, 1, 3; then pairs to their places in kPackedOrder.
    const __m512i by_digit = _mm512_shuffle_epi8(
        all_digits, _mm512_broadcast_i32x4(_mm_setr_epi8(2, 10, 6, 14, 1, 9, 5, 13, 0, 8, 4, 12, -1, -1, -1, -1)));
    const __m512i order = _mm512_set_epi16(7, 7, 7, 7, 7, 7, 7, 7, 29, 21, 28, 20, 13, 5, 12, 4, 27, 19, 26, 18, 11, 3,
                                           10, 2, 25, 17, 24, 16, 9, 1, 8, 0);
    _mm512_mask_storeu_epi32(digits, 0x0FFF, _mm512_permutexvar_epi16(order, by_digit));
    const __m512i low = _mm512_and_si512(_mm512_xor_si512(bytes, _mm512_set1_epi32(0x80)), _mm512_set1_epi32(0xFF));
    cpu_shared::DigitBlock block;
    block.has_low = _mm512_test_epi32_mask(low, low) != 0;
    if (for_panel) return block;
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(integers, _mm512_set1_epi32(0x80)), 8);
    block.high_sum = _mm512_reduce_add_epi32(high);
    if (block.has_low) block.low_sum = _mm512_reduce_add_epi32(integers) - 256 * block.high_sum;
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

}  // namespace nvfp4::kernels::cpu_avx512
