#include "kernels/cpu_avx512/peak_rates.h"

#include <immintrin.h>

#include "kernels/cpu_avx512/peak_dots.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

float fma_f32(std::uint64_t num_rounds) {
  __m512 sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 a = _mm512_set1_ps(0.5F);
  const __m512 b = _mm512_set1_ps(1.0F);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

// Without VNNI: pairs of products in 16 bits, summed there.
float dot_int8(std::uint64_t num_rounds) {
  __m512i sums[kNumChains];
  for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_set1_epi8(static_cast<char>(i));
  const __m512i b = _mm512_set1_epi8(1);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kNumChains; ++i) sums[i] = _mm512_add_epi16(_mm512_maddubs_epi16(sums[i], b), b);
  }
  for (int i = 1; i < kNumChains; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0])));
}

template <bool kPrefetch>
std::uint64_t read(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) {
  constexpr int kNumVectors = ReadLoop::kStepBytes / 64;
  __m512i bits[kNumVectors] = {};
  for (std::size_t at = 0; at < num_bytes; at += ReadLoop::kStepBytes) {
#pragma GCC unroll 8
    for (int i = 0; i < kNumVectors; ++i) {
      const std::byte* const line = memory + at + i * 64;
      if constexpr (kPrefetch) _mm_prefetch(reinterpret_cast<const char*>(line + prefetch_bytes), _MM_HINT_T0);
      bits[i] = _mm512_or_si512(bits[i], _mm512_load_si512(line));
    }
  }
  for (int i = 1; i < kNumVectors; ++i) bits[0] = _mm512_or_si512(bits[0], bits[i]);
  alignas(64) std::uint64_t lanes[8];
  _mm512_store_si512(lanes, bits[0]);
  for (int i = 1; i < 8; ++i) lanes[0] |= lanes[i];
  return lanes[0];
}

std::uint64_t read_memory(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) {
  return prefetch_bytes == 0 ? read<false>(memory, num_bytes, 0) : read<true>(memory, num_bytes, prefetch_bytes);
}

constexpr MultiplyLoop kMultiplyLoops[] = {
    {"fma_f32_avx512", Multiply::kF32, InstructionSet::kAvx512, kNumChains * 2.0 * 16, fma_f32},
    {"dot_bf16_avx512", Multiply::kBF16, InstructionSet::kAvx512Bf16, kNumChains * 2.0 * 32, dot_bf16},
    {"dot_int8_vnni", Multiply::kInt8, InstructionSet::kAvx512Vnni, kNumChains * 2.0 * 64, dot_int8_vnni},
    {"dot_int8_avx512", Multiply::kInt8, InstructionSet::kAvx512, kNumChains * 2.0 * 64, dot_int8},
};
constexpr ReadLoop kReadLoops[] = {{"read_avx512", InstructionSet::kAvx512, read_memory}};

}  // namespace

std::span<const MultiplyLoop> multiply_loops() { return kMultiplyLoops; }
std::span<const ReadLoop> read_loops() { return kReadLoops; }

}  // namespace nvfp4::kernels::cpu_avx512
