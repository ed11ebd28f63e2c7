#include "kernels/cpu_avx2/peak_rates.h"

#include <immintrin.h>

namespace nvfp4::kernels::cpu_avx2 {
namespace {

constexpr int kNumChains = 12;  // independent sums: two pipes of up to 6 cycles, within 16 registers

float fma_f32(std::uint64_t num_rounds) {
  __m256 sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 a = _mm256_set1_ps(0.5F);
  const __m256 b = _mm256_set1_ps(1.0F);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

// Pairs of products in 16 bits, summed there.
float dot_int8(std::uint64_t num_rounds) {
  __m256i sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm256_set1_epi8(static_cast<char>(i));
  const __m256i b = _mm256_set1_epi8(1);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm256_add_epi16(_mm256_maddubs_epi16(sums[i], b), b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm256_extract_epi32(sums[0], 0));
}

template <bool kPrefetch>
std::uint64_t read(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) {
  constexpr int kNumVectors = 8;
  __m256i bits[kNumVectors] = {};
  for (std::size_t at = 0; at < num_bytes; at += ReadLoop::kStepBytes) {
#pragma GCC unroll 16
    for (int i = 0; i < 2 * kNumVectors; ++i) {
      const std::byte* const half_line = memory + at + i * 32;
      if constexpr (kPrefetch) {
        if (i % 2 == 0) _mm_prefetch(reinterpret_cast<const char*>(half_line + prefetch_bytes), _MM_HINT_T0);
      }
      __m256i& bit = bits[i % kNumVectors];
      bit = _mm256_or_si256(bit, _mm256_load_si256(reinterpret_cast<const __m256i*>(half_line)));
    }
  }
  for (int i = 1; i < kNumVectors; ++i) bits[0] = _mm256_or_si256(bits[0], bits[i]);
  return static_cast<std::uint64_t>(_mm256_extract_epi64(bits[0], 0) | _mm256_extract_epi64(bits[0], 1) |
                                    _mm256_extract_epi64(bits[0], 2) | _mm256_extract_epi64(bits[0], 3));
}

std::uint64_t read_memory(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) {
  return prefetch_bytes == 0 ? read<false>(memory, num_bytes, 0) : read<true>(memory, num_bytes, prefetch_bytes);
}

constexpr MultiplyLoop kMultiplyLoops[] = {
    {"fma_f32_avx2", Multiply::kF32, InstructionSet::kAvx2, kNumChains * 2.0 * 8, fma_f32},
    {"dot_int8_avx2", Multiply::kInt8, InstructionSet::kAvx2, kNumChains * 2.0 * 32, dot_int8},
};
constexpr ReadLoop kReadLoops[] = {{"read_avx2", InstructionSet::kAvx2, read_memory}};

}  // namespace

std::span<const MultiplyLoop> multiply_loops() { return kMultiplyLoops; }
std::span<const ReadLoop> read_loops() { return kReadLoops; }

}  // namespace nvfp4::kernels::cpu_avx2
