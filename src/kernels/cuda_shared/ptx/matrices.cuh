// Matrix products of one warp, and the loads and exchanges of their operands. Lane 4 g + t is lane t of quad g.
#pragma once

#include <cstdint>

#include "kernels/cuda_shared/fp4_arithmetic.cuh"
#include "kernels/cuda_shared/ptx/features.cuh"

namespace nvfp4::kernels {

// c[16][8] += a[16][16] * b[16][8] in BF16, summed in float32. A lane holds of A rows g, g + 8 and columns 2t, 2t + 1,
// 2t + 8, 2t + 9; of B rows 2t, 2t + 1 (b0) and 2t + 8, 2t + 9 (b1) of column g; of C rows g (c[0], c[1]) and g + 8
// (c[2], c[3]), columns 2t and 2t + 1.
__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c[16][8] += a[16][64] * b[64][8] in E2M1, each block of 16 along K times its E4M3 scale, summed in float32. Codes
// lowest nibble first: a lane holds of A columns 8t to 8t + 7 of rows g (a[0]) and g + 8 (a[1]), and 32 columns further
// (a[2], a[3]); of B rows 8t to 8t + 7 of column g (b[0]) and 32 rows further (b[1]); of C as above. Scales of the four
// blocks, lowest byte first: of row g in lane 2 kRowLanes of a quad, of row g + 8 in the next one; of column g of B in
// lane kColumnLane. One instruction on sm_120a and sm_121a; elsewhere arithmetic, for tests.
template <std::uint32_t kRowLanes = 0, std::uint32_t kColumnLane = 0>
__device__ __forceinline__ void mma_m16n8k64_nvfp4(float (&c)[4], const std::uint32_t (&a)[4],
                                                   const std::uint32_t (&b)[2], std::uint32_t scales_a,
                                                   std::uint32_t scales_b) {
#if NVFP4_HAS_FP4_INSTRUCTIONS
  asm("mma.sync.aligned.kind::mxf4nvf4.block_scale.scale_vec::4X.m16n8k64.row.col.f32.e2m1.e2m1.f32.ue4m3 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, {%10}, {0, %12}, {%11}, {0, %13};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(scales_a), "r"(scales_b), "n"(kRowLanes),
        "n"(kColumnLane));
#else
  fp4_arithmetic::multiply<kRowLanes, kColumnLane>(c, a, b, scales_a, scales_b);
#endif
}

// Four 8x8 matrices of 16-bit numbers; lane l gives the shared-memory address of row l % 8 of matrix l / 8. As B of
// two products: 8 rows (columns of B) of 32 consecutive numbers are b0, b1 of one and b0, b1 of the next. The compiler
// moves it as it likes: the address must come from behind whatever it has to wait for.
__device__ __forceinline__ void load_matrices(std::uint32_t (&b)[4], std::uint32_t shared_address) {
  asm("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
      : "r"(shared_address));
}

// The same, where the compiler may not move it: a lane gets of each matrix row g, columns 2t and 2t + 1.
__device__ __forceinline__ void load_4_matrices(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(address)
               : "memory");
}
// A lane gets of each matrix rows 2t and 2t + 1 of column g.
__device__ __forceinline__ void load_4_matrices_transposed(std::uint32_t* words, std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
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
// Four 8x8 matrices of 16-bit numbers, transposed: lane 4 g + t holds of each row g, columns 2t and 2t + 1, lane
// 8 i + j the address of the 16 bytes of the i-th one's column j. Since sm_90.
__device__ __forceinline__ void store_4_matrices_transposed(std::uint32_t address, const std::uint32_t (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}
// Transposes an 8x8 matrix of 16-bit numbers: lane 4 g + t holds row g, columns 2t and 2t + 1, before and after.
__device__ __forceinline__ std::uint32_t transpose_pairs(std::uint32_t pair) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(pair));
  return transposed;
}

}  // namespace nvfp4::kernels
