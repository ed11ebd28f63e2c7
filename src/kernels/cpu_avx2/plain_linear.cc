#include "kernels/cpu_avx2/plain_linear.h"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu_avx2/activation_rows.h"
#include "kernels/cpu_shared/plain_linear.h"
#include "kernels/cpu_shared/plain_tiles.h"

namespace nvfp4::kernels::cpu_avx2 {
namespace {

namespace plain = cpu_shared::plain;

struct PlainIsa {
  using Reg = __m256;
  static constexpr std::uint64_t kWidth = 8;
  static constexpr std::uint64_t kTileRows = 2;
  static constexpr std::uint32_t kTileTokens = 3;

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg load_f32(const float* from) { return _mm256_loadu_ps(from); }
  static Reg load_f16(const std::byte* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Reg load_bf16(const std::byte* from) {
    const __m256i codes = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(codes, 16));
  }
  static void store(float* to, Reg value) { _mm256_storeu_ps(to, value); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }

  // count: a multiple of 64. A code s eeee mmm becomes s 0eeee mmm0000000.
  static bool half_from_fp8(const std::byte* codes, std::uint64_t count, std::uint64_t ahead, std::byte* out) {
    const __m256i keep = _mm256_set1_epi16(static_cast<std::int16_t>(0xBFFFU));
    const __m256i sign = _mm256_set1_epi8(static_cast<char>(0x80));
    __m256i largest = _mm256_setzero_si256();
    for (std::uint64_t k = 0; k < count; k += 32) {
      __builtin_prefetch(codes + k + ahead, 0, 2);
      const auto* const from = reinterpret_cast<const __m256i*>(codes + k);
      largest = _mm256_max_epu8(largest, _mm256_or_si256(_mm256_loadu_si256(from), sign));
      for (std::uint64_t j = 0; j < 32; j += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k + j));
        const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * (k + j)), _mm256_and_si256(shifted, keep));
      }
    }
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(largest, _mm256_set1_epi8(-1))) != 0;
  }
};

constexpr plain::Code kCode = {plain::Tiles<PlainIsa>::run_piece, round_row};

void run(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
         WorkerPool& pool) {
  plain::run(kCode, weight, activation, args, workspace, pool);
}

constexpr InstructionSet kNeeds = InstructionSet::kAvx2;
constexpr WeightLayout kAsStored = WeightLayout::kRowMajor;
constexpr LinearKernel kKernels[] = {
    {"linear_fp8_f32_avx2", kNeeds, kAsStored, plain::refuse_fp8, plain::workspace_bytes, run},
    {"linear_fp8_fp8_avx2", kNeeds, kAsStored, plain::refuse_fp8_with_fp8, plain::workspace_bytes, run},
    {"linear_bf16_f32_avx2", kNeeds, kAsStored, plain::refuse_bf16, plain::workspace_bytes, run},
    {"linear_f16_f32_avx2", kNeeds, kAsStored, plain::refuse_f16, plain::workspace_bytes, run},
    {"linear_f32_f32_avx2", kNeeds, kAsStored, plain::refuse_f32, plain::workspace_bytes, run},
};

}  // namespace

std::span<const LinearKernel> plain_linear() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_avx2
