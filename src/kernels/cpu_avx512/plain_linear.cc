#include "kernels/cpu_avx512/plain_linear.h"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu_avx512/activation_rows.h"
#include "kernels/cpu_shared/plain_linear.h"
#include "kernels/cpu_shared/plain_tiles.h"

namespace nvfp4::kernels::cpu_avx512 {
namespace {

namespace plain = cpu_shared::plain;

struct PlainIsa {
  using Reg = __m512;
  static constexpr std::uint64_t kWidth = 16;
  static constexpr std::uint64_t kTileRows = 4;
  static constexpr std::uint32_t kTileTokens = 6;

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg load_f32(const float* from) { return _mm512_loadu_ps(from); }
  static Reg load_f16(const std::byte* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Reg load_bf16(const std::byte* from) {
    const __m512i codes = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(codes, 16));
  }
  static void store(float* to, Reg value) { _mm512_storeu_ps(to, value); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }

  // count: a multiple of 64. A code s eeee mmm becomes s 0eeee mmm0000000.
  static bool half_from_fp8(const std::byte* codes, std::uint64_t count, std::uint64_t ahead, std::byte* out) {
    const __m512i keep = _mm512_set1_epi16(static_cast<std::int16_t>(0xBFFFU));
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    __m512i largest = _mm512_setzero_si512();
    for (std::uint64_t k = 0; k < count; k += 64) {
      __builtin_prefetch(codes + k + ahead, 0, 2);
      largest = _mm512_max_epu8(largest, _mm512_or_si512(_mm512_loadu_si512(codes + k), sign));
      for (std::uint64_t j = 0; j < 64; j += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + k + j));
        const __m512i shifted = _mm512_slli_epi16(_mm512_cvtepi8_epi16(bytes), 7);
        _mm512_storeu_si512(out + 2 * (k + j), _mm512_and_si512(shifted, keep));
      }
    }
    return _mm512_cmpeq_epi8_mask(largest, _mm512_set1_epi8(-1)) != 0;
  }
};

constexpr plain::Code kCode = {plain::Tiles<PlainIsa>::run_piece, round_row};

void run(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
         WorkerPool& pool) {
  plain::run(kCode, weight, activation, args, workspace, pool);
}

constexpr InstructionSet kNeeds = InstructionSet::kAvx512;
constexpr WeightLayout kAsStored = WeightLayout::kRowMajor;
constexpr LinearKernel kKernels[] = {
    {"linear_fp8_f32_avx512", kNeeds, kAsStored, plain::refuse_fp8, plain::workspace_bytes, run},
    {"linear_fp8_fp8_avx512", kNeeds, kAsStored, plain::refuse_fp8_with_fp8, plain::workspace_bytes, run},
    {"linear_bf16_f32_avx512", kNeeds, kAsStored, plain::refuse_bf16, plain::workspace_bytes, run},
    {"linear_f16_f32_avx512", kNeeds, kAsStored, plain::refuse_f16, plain::workspace_bytes, run},
    {"linear_f32_f32_avx512", kNeeds, kAsStored, plain::refuse_f32, plain::workspace_bytes, run},
};

}  // namespace

std::span<const LinearKernel> plain_linear() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_avx512
