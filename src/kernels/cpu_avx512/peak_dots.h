// Dot products of the extensions, each in a file of its own; a round is kNumChains instructions.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cpu_avx512 {

inline constexpr int kNumChains = 16;  // independent sums: two pipes of up to 8 cycles

float dot_int8_vnni(std::uint64_t num_rounds);
float dot_bf16(std::uint64_t num_rounds);

}  // namespace nvfp4::kernels::cpu_avx512
