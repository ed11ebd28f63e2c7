// BF16 matrix products of one warp: c[16][8] += a[16][16] * b[16][8], summed in float32.
//
// Lane 4 g + t holds of A rows g, g + 8 and columns 2t, 2t + 1, 2t + 8, 2t + 9; of B rows 2t, 2t + 1 (b[0]) and 2t + 8,
// 2t + 9 (b[1]) of column g; of C rows g (c[0], c[1]) and g + 8 (c[2], c[3]), columns 2t and 2t + 1.
#pragma once

#include <cstdint>

namespace nvfp4::kernels {

__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8x8 matrices of 16-bit numbers; lane l gives the shared-memory address of row l % 8 of matrix l / 8. As B of
// two products: 8 rows (columns of B) of 32 consecutive numbers are b0, b1 of one and b0, b1 of the next. The compiler
// moves it as it likes: the address must come from behind whatever it has to wait for.
__device__ __forceinline__ void load_matrices(std::uint32_t (&b)[4], std::uint32_t shared_address) {
  asm("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
      : "r"(shared_address));
}

}  // namespace nvfp4::kernels
