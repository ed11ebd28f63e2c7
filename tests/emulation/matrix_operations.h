// Loads, exchanges and products of matrices by one warp. Lane 4 g + t is lane t of quad g.
#pragma once

#include <array>
#include <cstdint>

namespace nvfp4::emulation {

// num_matrices (1, 2, 4) matrices of 8 x 8 16-bit numbers; lane 8 i + r gives the shared address of row r of matrix i.
// words[i] becomes row g, columns 2t and 2t + 1 of matrix i; transposed: rows 2t and 2t + 1 of column g.
void load_matrices(std::uint32_t* words, std::uint32_t num_matrices, bool is_transposed, std::uint32_t address);
[[nodiscard]] std::uint32_t transpose_matrix(std::uint32_t pair);
// The other way: of four matrices, words[i] are row g, columns 2t and 2t + 1; lane 8 i + c gives the shared address of
// column c of matrix i.
void store_matrices_transposed(const std::uint32_t* words, std::uint32_t address);

// c[16][8] += a[16][16] * b[16][8] in BF16: exact products, summed in float64 and rounded to float32 once.
void multiply_bf16(float* c, const std::uint32_t* a, const std::uint32_t* b);

// Scales of a lane's blocks, lowest byte first, and whose count: of_a of row g in lane 2 row_lanes of its quad, of row
// g + 8 in the next one; of_b of column g in lane column_lane. What the other lanes have is not looked at.
struct BlockScales {
  std::uint32_t of_a, of_b;
  std::uint32_t row_lanes = 0;
  std::uint32_t column_lane = 0;
};
// Sums of 16 rows and 8 columns: each in float64, in the order of the depth.
using RowOfSums = double __attribute__((vector_size(8 * sizeof(double))));  // GCC's and Clang's
void add_products(RowOfSums* sums, const double* a, const RowOfSums* b, std::uint32_t depth);

// c[16][8] += a[16][64] * b[64][8] in E2M1, each block of 16 along K times its E4M3 scale. Exact products, summed in
// float64 and rounded to float32 once.
void multiply_nvfp4(float* c, const std::uint32_t* a, const std::uint32_t* b, const BlockScales& scales);

// Which element a lane has where.
struct ElementPlace {
  std::uint32_t row, column;
  friend bool operator==(const ElementPlace&, const ElementPlace&) = default;
};
// Element i of a lane's registers, lowest bits first: 8 of a, 4 of b, 4 of c in BF16.
[[nodiscard]] constexpr ElementPlace bf16_place_of_a(std::uint32_t lane, std::uint32_t i) {
  return {lane / 4 + i / 2 % 2 * 8, lane % 4 * 2 + i % 2 + i / 4 * 8};
}
[[nodiscard]] constexpr ElementPlace bf16_place_of_b(std::uint32_t lane, std::uint32_t i) {
  return {lane % 4 * 2 + i % 2 + i / 2 * 8, lane / 4};
}
[[nodiscard]] constexpr ElementPlace place_of_c(std::uint32_t lane, std::uint32_t i) {
  return {lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2};
}
// 32 of a, 16 of b in E2M1.
[[nodiscard]] constexpr ElementPlace nvfp4_place_of_a(std::uint32_t lane, std::uint32_t i) {
  return {lane / 4 + i / 8 % 2 * 8, lane % 4 * 8 + i % 8 + i / 16 * 32};
}
[[nodiscard]] constexpr ElementPlace nvfp4_place_of_b(std::uint32_t lane, std::uint32_t i) {
  return {lane % 4 * 8 + i % 8 + i / 8 * 32, lane / 4};
}
// The row of a whose scales a lane holds, the column of b; none: 16, 8.
[[nodiscard]] constexpr std::uint32_t row_of_scales(std::uint32_t lane, std::uint32_t row_lanes = 0) {
  return lane % 4 / 2 == row_lanes ? lane / 4 + lane % 2 * 8 : 16;
}
[[nodiscard]] constexpr std::uint32_t column_of_scales(std::uint32_t lane, std::uint32_t column_lane = 0) {
  return lane % 4 == column_lane ? lane / 4 : 8;
}

}  // namespace nvfp4::emulation
