// The header of the same name, for the host.
#pragma once

#include <cstdint>

#include "emulation/matrix_operations.h"

namespace nvfp4::kernels {

inline void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const std::uint32_t b[2] = {b0, b1};
  emulation::multiply_bf16(c, a, b);
}
template <std::uint32_t kRowLanes = 0, std::uint32_t kColumnLane = 0>
void mma_m16n8k64_nvfp4(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], std::uint32_t scales_a,
                        std::uint32_t scales_b) {
  emulation::multiply_nvfp4(c, a, b, {scales_a, scales_b, kRowLanes, kColumnLane});
}
inline void load_matrices(std::uint32_t (&b)[4], std::uint32_t shared_address) {
  emulation::load_matrices(b, 4, false, shared_address);
}
inline void load_4_matrices(std::uint32_t* words, std::uint32_t address) {
  emulation::load_matrices(words, 4, false, address);
}
inline void load_2_matrices(std::uint32_t* words, std::uint32_t address) {
  emulation::load_matrices(words, 2, false, address);
}
inline void load_4_matrices_transposed(std::uint32_t* words, std::uint32_t address) {
  emulation::load_matrices(words, 4, true, address);
}
inline void store_4_matrices_transposed(std::uint32_t address, const std::uint32_t (&words)[4]) {
  emulation::store_matrices_transposed(words, address);
}
inline std::uint32_t transpose_pairs(std::uint32_t pair) { return emulation::transpose_matrix(pair); }

}  // namespace nvfp4::kernels
