// BF16 matrix products of a warpgroup (sm_90a): d[64][N] += a[64][16] * b[16][N], summed in float32.
//
// Warp w of the four has rows 16 w..16 w + 15; lane 4 g + t of it rows g and g + 8, of a as ptx/matrices.cuh says, of d
// for every 8 columns d[0], d[1]: row g, columns 2t and 2t + 1; d[2], d[3]: row g + 8. b lies in shared memory, a
// column's 64 numbers one after the other, 128 bytes, its 16-byte pieces at (piece ^ column % 8): shared_columns().
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

// Columns at a 1024-byte aligned address, for start_product(); 16 rows of b further: + kNextRows.
__device__ __forceinline__ std::uint32_t shared_columns(std::uint32_t address) { return address >> 4 | 1U << 16; }
inline constexpr std::uint32_t kNextRows = 16 * 2 >> 4;

// Orders registers: what was written to a and d before is what the next products read.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Returns when at most kPending of the groups that were committed last may still run.
template <int kPending>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Registers of each thread of this warpgroup from here on.
template <std::uint32_t kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <std::uint32_t kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// The registers of d and their numbers, 8 columns at a time.
// clang-format off
#define NVFP4_NAMES_8 "%0, %1, %2, %3"
#define NVFP4_SUMS_8 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define NVFP4_NAMES_16 NVFP4_NAMES_8 ", " "%4, %5, %6, %7"
#define NVFP4_SUMS_16 NVFP4_SUMS_8, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define NVFP4_NAMES_24 NVFP4_NAMES_16 ", " "%8, %9, %10, %11"
#define NVFP4_SUMS_24 NVFP4_SUMS_16, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define NVFP4_NAMES_32 NVFP4_NAMES_24 ", " "%12, %13, %14, %15"
#define NVFP4_SUMS_32 NVFP4_SUMS_24, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define NVFP4_NAMES_40 NVFP4_NAMES_32 ", " "%16, %17, %18, %19"
#define NVFP4_SUMS_40 NVFP4_SUMS_32, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define NVFP4_NAMES_48 NVFP4_NAMES_40 ", " "%20, %21, %22, %23"
#define NVFP4_SUMS_48 NVFP4_SUMS_40, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define NVFP4_NAMES_56 NVFP4_NAMES_48 ", " "%24, %25, %26, %27"
#define NVFP4_SUMS_56 NVFP4_SUMS_48, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define NVFP4_NAMES_64 NVFP4_NAMES_56 ", " "%28, %29, %30, %31"
#define NVFP4_SUMS_64 NVFP4_SUMS_56, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define NVFP4_NAMES_72 NVFP4_NAMES_64 ", " "%32, %33, %34, %35"
#define NVFP4_SUMS_72 NVFP4_SUMS_64, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define NVFP4_NAMES_80 NVFP4_NAMES_72 ", " "%36, %37, %38, %39"
#define NVFP4_SUMS_80 NVFP4_SUMS_72, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define NVFP4_NAMES_88 NVFP4_NAMES_80 ", " "%40, %41, %42, %43"
#define NVFP4_SUMS_88 NVFP4_SUMS_80, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define NVFP4_NAMES_96 NVFP4_NAMES_88 ", " "%44, %45, %46, %47"
#define NVFP4_SUMS_96 NVFP4_SUMS_88, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define NVFP4_NAMES_104 NVFP4_NAMES_96 ", " "%48, %49, %50, %51"
#define NVFP4_SUMS_104 NVFP4_SUMS_96, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define NVFP4_NAMES_112 NVFP4_NAMES_104 ", " "%52, %53, %54, %55"
#define NVFP4_SUMS_112 NVFP4_SUMS_104, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define NVFP4_NAMES_120 NVFP4_NAMES_112 ", " "%56, %57, %58, %59"
#define NVFP4_SUMS_120 NVFP4_SUMS_112, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define NVFP4_NAMES_128 NVFP4_NAMES_120 ", " "%60, %61, %62, %63"
#define NVFP4_SUMS_128 NVFP4_SUMS_120, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define NVFP4_NAMES_136 NVFP4_NAMES_128 ", " "%64, %65, %66, %67"
#define NVFP4_SUMS_136 NVFP4_SUMS_128, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define NVFP4_NAMES_144 NVFP4_NAMES_136 ", " "%68, %69, %70, %71"
#define NVFP4_SUMS_144 NVFP4_SUMS_136, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define NVFP4_NAMES_152 NVFP4_NAMES_144 ", " "%72, %73, %74, %75"
#define NVFP4_SUMS_152 NVFP4_SUMS_144, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define NVFP4_NAMES_160 NVFP4_NAMES_152 ", " "%76, %77, %78, %79"
#define NVFP4_SUMS_160 NVFP4_SUMS_152, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define NVFP4_NAMES_168 NVFP4_NAMES_160 ", " "%80, %81, %82, %83"
#define NVFP4_SUMS_168 NVFP4_SUMS_160, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define NVFP4_NAMES_176 NVFP4_NAMES_168 ", " "%84, %85, %86, %87"
#define NVFP4_SUMS_176 NVFP4_SUMS_168, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define NVFP4_NAMES_184 NVFP4_NAMES_176 ", " "%88, %89, %90, %91"
#define NVFP4_SUMS_184 NVFP4_SUMS_176, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define NVFP4_NAMES_192 NVFP4_NAMES_184 ", " "%92, %93, %94, %95"
#define NVFP4_SUMS_192 NVFP4_SUMS_184, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define NVFP4_NAMES_200 NVFP4_NAMES_192 ", " "%96, %97, %98, %99"
#define NVFP4_SUMS_200 NVFP4_SUMS_192, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define NVFP4_NAMES_208 NVFP4_NAMES_200 ", " "%100, %101, %102, %103"
#define NVFP4_SUMS_208 NVFP4_SUMS_200, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define NVFP4_NAMES_216 NVFP4_NAMES_208 ", " "%104, %105, %106, %107"
#define NVFP4_SUMS_216 NVFP4_SUMS_208, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define NVFP4_NAMES_224 NVFP4_NAMES_216 ", " "%108, %109, %110, %111"
#define NVFP4_SUMS_224 NVFP4_SUMS_216, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define NVFP4_NAMES_232 NVFP4_NAMES_224 ", " "%112, %113, %114, %115"
#define NVFP4_SUMS_232 NVFP4_SUMS_224, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define NVFP4_NAMES_240 NVFP4_NAMES_232 ", " "%116, %117, %118, %119"
#define NVFP4_SUMS_240 NVFP4_SUMS_232, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define NVFP4_NAMES_248 NVFP4_NAMES_240 ", " "%120, %121, %122, %123"
#define NVFP4_SUMS_248 NVFP4_SUMS_240, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define NVFP4_NAMES_256 NVFP4_NAMES_248 ", " "%124, %125, %126, %127"
#define NVFP4_SUMS_256 NVFP4_SUMS_248, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
// Behind the N / 2 registers of d come four of a, and where b's columns are. 0x40000040: 1024 bytes from 8 columns to
// the next 8, pieces swizzled over 128 bytes.
#define NVFP4_WGMMA(N, A0, A1, A2, A3, B)                                                           \
  if constexpr (kColumns == N) {                                                                    \
    asm volatile("{\n.reg .b64 columns;\nmov.b64 columns, {%" #B ", 0x40000040};\n"                 \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" NVFP4_NAMES_##N "}, "  \
                 "{%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, columns, 1, 1, 1, 0;\n}"                \
                 : NVFP4_SUMS_##N                                                                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(columns));                       \
  }

// Starts one product: d += a * b. kColumns: a multiple of 8 up to 256.
template <std::uint32_t kColumns, std::size_t kSums>
__device__ __forceinline__ void start_product(float (&d)[kSums], const std::uint32_t (&a)[4], std::uint32_t columns) {
  static_assert(kColumns % 8 == 0 && kColumns <= 2 * kSums);
  NVFP4_WGMMA(8, 4, 5, 6, 7, 8)
  NVFP4_WGMMA(16, 8, 9, 10, 11, 12)
  NVFP4_WGMMA(24, 12, 13, 14, 15, 16)
  NVFP4_WGMMA(32, 16, 17, 18, 19, 20)
  NVFP4_WGMMA(40, 20, 21, 22, 23, 24)
  NVFP4_WGMMA(48, 24, 25, 26, 27, 28)
  NVFP4_WGMMA(56, 28, 29, 30, 31, 32)
  NVFP4_WGMMA(64, 32, 33, 34, 35, 36)
  NVFP4_WGMMA(72, 36, 37, 38, 39, 40)
  NVFP4_WGMMA(80, 40, 41, 42, 43, 44)
  NVFP4_WGMMA(88, 44, 45, 46, 47, 48)
  NVFP4_WGMMA(96, 48, 49, 50, 51, 52)
  NVFP4_WGMMA(104, 52, 53, 54, 55, 56)
  NVFP4_WGMMA(112, 56, 57, 58, 59, 60)
  NVFP4_WGMMA(120, 60, 61, 62, 63, 64)
  NVFP4_WGMMA(128, 64, 65, 66, 67, 68)
  NVFP4_WGMMA(136, 68, 69, 70, 71, 72)
  NVFP4_WGMMA(144, 72, 73, 74, 75, 76)
  NVFP4_WGMMA(152, 76, 77, 78, 79, 80)
  NVFP4_WGMMA(160, 80, 81, 82, 83, 84)
  NVFP4_WGMMA(168, 84, 85, 86, 87, 88)
  NVFP4_WGMMA(176, 88, 89, 90, 91, 92)
  NVFP4_WGMMA(184, 92, 93, 94, 95, 96)
  NVFP4_WGMMA(192, 96, 97, 98, 99, 100)
  NVFP4_WGMMA(200, 100, 101, 102, 103, 104)
  NVFP4_WGMMA(208, 104, 105, 106, 107, 108)
  NVFP4_WGMMA(216, 108, 109, 110, 111, 112)
  NVFP4_WGMMA(224, 112, 113, 114, 115, 116)
  NVFP4_WGMMA(232, 116, 117, 118, 119, 120)
  NVFP4_WGMMA(240, 120, 121, 122, 123, 124)
  NVFP4_WGMMA(248, 124, 125, 126, 127, 128)
  NVFP4_WGMMA(256, 128, 129, 130, 131, 132)
}
// clang-format on

#undef NVFP4_NAMES_8
#undef NVFP4_SUMS_8
#undef NVFP4_NAMES_16
#undef NVFP4_SUMS_16
#undef NVFP4_NAMES_24
#undef NVFP4_SUMS_24
#undef NVFP4_NAMES_32
#undef NVFP4_SUMS_32
#undef NVFP4_NAMES_40
#undef NVFP4_SUMS_40
#undef NVFP4_NAMES_48
#undef NVFP4_SUMS_48
#undef NVFP4_NAMES_56
#undef NVFP4_SUMS_56
#undef NVFP4_NAMES_64
#undef NVFP4_SUMS_64
#undef NVFP4_NAMES_72
#undef NVFP4_SUMS_72
#undef NVFP4_NAMES_80
#undef NVFP4_SUMS_80
#undef NVFP4_NAMES_88
#undef NVFP4_SUMS_88
#undef NVFP4_NAMES_96
#undef NVFP4_SUMS_96
#undef NVFP4_NAMES_104
#undef NVFP4_SUMS_104
#undef NVFP4_NAMES_112
#undef NVFP4_SUMS_112
#undef NVFP4_NAMES_120
#undef NVFP4_SUMS_120
#undef NVFP4_NAMES_128
#undef NVFP4_SUMS_128
#undef NVFP4_NAMES_136
#undef NVFP4_SUMS_136
#undef NVFP4_NAMES_144
#undef NVFP4_SUMS_144
#undef NVFP4_NAMES_152
#undef NVFP4_SUMS_152
#undef NVFP4_NAMES_160
#undef NVFP4_SUMS_160
#undef NVFP4_NAMES_168
#undef NVFP4_SUMS_168
#undef NVFP4_NAMES_176
#undef NVFP4_SUMS_176
#undef NVFP4_NAMES_184
#undef NVFP4_SUMS_184
#undef NVFP4_NAMES_192
#undef NVFP4_SUMS_192
#undef NVFP4_NAMES_200
#undef NVFP4_SUMS_200
#undef NVFP4_NAMES_208
#undef NVFP4_SUMS_208
#undef NVFP4_NAMES_216
#undef NVFP4_SUMS_216
#undef NVFP4_NAMES_224
#undef NVFP4_SUMS_224
#undef NVFP4_NAMES_232
#undef NVFP4_SUMS_232
#undef NVFP4_NAMES_240
#undef NVFP4_SUMS_240
#undef NVFP4_NAMES_248
#undef NVFP4_SUMS_248
#undef NVFP4_NAMES_256
#undef NVFP4_SUMS_256
#undef NVFP4_WGMMA

}  // namespace nvfp4::kernels::cuda_sm90
