// 8x8 matrices of 16-bit numbers from shared memory: lane l gives the address of row l % 8 of matrix l / 8, and gets of
// each matrix what lane 4 g + t of a fragment holds: row g, columns 2t and 2t + 1.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm80 {

__device__ __forceinline__ void load_4_matrices(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address)
               : "memory");
}
// Lanes 16 to 31 give any address.
__device__ __forceinline__ void load_2_matrices(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(words[0]), "=r"(words[1])
               : "r"(address)
               : "memory");
}
// 8 bytes of this lane's own.
__device__ __forceinline__ void load_2_words(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(words[0]), "=r"(words[1]) : "r"(address) : "memory");
}

}  // namespace nvfp4::kernels::cuda_sm80
