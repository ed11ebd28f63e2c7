#include "emulation/matrix_operations.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <string>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/planted_fault.h"
#include "emulation/sanitizer.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"

namespace nvfp4::emulation {
namespace {

constexpr std::uint32_t kAllLanes = 0xFFFFFFFF;
constexpr std::uint32_t kRows = 16;
constexpr std::uint32_t kColumns = 8;

double bf16_value(std::uint32_t bits) { return std::bit_cast<float>(bits << 16U); }

struct MatrixLoad {
  std::uint32_t* words;
  std::uint32_t num_matrices;
  bool is_transposed;
  std::uint32_t address;
  const void* code;
};

// Rows of 16 bytes, each read by the lane that gives its address.
void load_for_all(Block& block, std::uint32_t first_thread, std::uint32_t /*mask*/, const WarpMeetings::Slots& slots) {
  const auto& mine = *static_cast<const MatrixLoad*>(slots[0]);
  for (std::uint32_t i = 0; i < mine.num_matrices; ++i) {
    std::array<std::array<std::uint16_t, 8>, 8> matrix;
    for (std::uint32_t r = 0; r < 8; ++r) {
      const std::uint32_t address = static_cast<const MatrixLoad*>(slots[8 * i + r])->address;
      if (address % 16 != 0) block.fail("loads a row of a matrix from an address that is no multiple of 16");
      touch_as(first_thread + 8 * i + r, AccessKind::kRead, block.shared.at(address), sizeof(matrix[r]), mine.code);
      std::memcpy(matrix[r].data(), block.shared.at(address), sizeof(matrix[r]));
    }
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      const std::uint32_t g = lane / 4;
      const std::uint32_t t = lane % 4 * 2;
      const std::uint32_t low = mine.is_transposed ? matrix[t][g] : matrix[g][t];
      const std::uint32_t high = mine.is_transposed ? matrix[t + 1][g] : matrix[g][t + 1];
      static_cast<MatrixLoad*>(slots[lane])->words[i] = high << 16U | low;
    }
  }
}

struct MatrixStore {
  const std::uint32_t* words;
  std::uint32_t address;
  const void* code;
};

void store_for_all(Block& block, std::uint32_t first_thread, std::uint32_t /*mask*/, const WarpMeetings::Slots& slots) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::array<std::array<std::uint16_t, 8>, 8> columns;
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      const std::uint32_t pair = static_cast<const MatrixStore*>(slots[lane])->words[i];
      columns[lane % 4 * 2][lane / 4] = static_cast<std::uint16_t>(pair);
      columns[lane % 4 * 2 + 1][lane / 4] = static_cast<std::uint16_t>(pair >> 16U);
    }
    for (std::uint32_t c = 0; c < 8; ++c) {
      const auto& theirs = *static_cast<const MatrixStore*>(slots[8 * i + c]);
      if (theirs.address % 16 != 0) block.fail("stores a row of a matrix at an address that is no multiple of 16");
      touch_as(first_thread + 8 * i + c, AccessKind::kWrite, block.shared.at(theirs.address), 16, theirs.code);
      std::memcpy(block.shared.at(theirs.address), columns[c].data(), 16);
    }
  }
}

void transpose_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t /*mask*/,
                       const WarpMeetings::Slots& slots) {
  std::uint16_t matrix[8][8];
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    const std::uint32_t pair = *static_cast<const std::uint32_t*>(slots[lane]);
    matrix[lane / 4][lane % 4 * 2] = static_cast<std::uint16_t>(pair);
    matrix[lane / 4][lane % 4 * 2 + 1] = static_cast<std::uint16_t>(pair >> 16U);
  }
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    const std::uint32_t high = matrix[lane % 4 * 2 + 1][lane / 4];
    *static_cast<std::uint32_t*>(slots[lane]) = high << 16U | matrix[lane % 4 * 2][lane / 4];
  }
}

struct Product {
  float* c;
  const std::uint32_t* a;
  const std::uint32_t* b;
  BlockScales scales{};
};

template <std::uint32_t kDepth>
struct Operands {
  double a[kRows][kDepth];
  RowOfSums b[kDepth];

  void add_product(const WarpMeetings::Slots& slots) const {
    RowOfSums sums[kRows];
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const ElementPlace place = place_of_c(lane, i);
        sums[place.row][place.column] = static_cast<Product*>(slots[lane])->c[i];
      }
    }
    add_products(sums, a[0], b, kDepth);
    for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const ElementPlace place = place_of_c(lane, i);
        static_cast<Product*>(slots[lane])->c[i] = static_cast<float>(sums[place.row][place.column]);
      }
    }
  }
};

std::size_t register_of_a(std::size_t idx) {
  if (!is_planted(PlantedFault::kSwappedFragment)) return idx;
  return idx == 1 ? 2 : idx == 2 ? 1 : idx;
}

void multiply_bf16_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t /*mask*/,
                           const WarpMeetings::Slots& slots) {
  Operands<16> operands;
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    const auto& mine = *static_cast<const Product*>(slots[lane]);
    for (std::uint32_t i = 0; i < 8; ++i) {
      const ElementPlace place = bf16_place_of_a(lane, i);
      operands.a[place.row][place.column] = bf16_value(mine.a[register_of_a(i / 2)] >> i % 2 * 16 & 0xFFFFU);
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      const ElementPlace place = bf16_place_of_b(lane, i);
      operands.b[place.row][place.column] = bf16_value(mine.b[i / 2] >> i % 2 * 16 & 0xFFFFU);
    }
  }
  operands.add_product(slots);
}

double e2m1_value(const std::uint32_t* words, std::size_t i) {
  return decode_e2m1(static_cast<std::uint8_t>(words[i / 8] >> i % 8 * 4 & 15U));
}
// Of the block of 16 that column k lies in. The instruction takes scales without a sign: the highest bit is ignored.
double e4m3_value(std::uint32_t scales, std::uint32_t k) {
  return decode_e4m3(static_cast<std::uint8_t>(scales >> k / 16 * 8 & 0x7FU));
}

void multiply_nvfp4_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t /*mask*/,
                            const WarpMeetings::Slots& slots) {
  constexpr std::uint32_t kDepth = 64;
  Operands<kDepth> operands;
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    const auto& mine = *static_cast<const Product*>(slots[lane]);
    for (std::size_t i = 0; i < 32; ++i) {
      const ElementPlace place = nvfp4_place_of_a(lane, static_cast<std::uint32_t>(i));
      operands.a[place.row][place.column] = e2m1_value(mine.a, register_of_a(i / 8) * 8 + i % 8);
    }
    for (std::uint32_t i = 0; i < 16; ++i) {
      const ElementPlace place = nvfp4_place_of_b(lane, i);
      operands.b[place.row][place.column] = e2m1_value(mine.b, i);
    }
  }
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    const auto& mine = *static_cast<const Product*>(slots[lane]);
    const std::uint32_t row = row_of_scales(lane, mine.scales.row_lanes);
    const std::uint32_t column = column_of_scales(lane, mine.scales.column_lane);
    for (std::uint32_t k = 0; k < kDepth; ++k) {
      if (row < kRows) operands.a[row][k] *= e4m3_value(mine.scales.of_a, k);
      if (column < kColumns) operands.b[k][column] *= e4m3_value(mine.scales.of_b, k);
    }
  }
  operands.add_product(slots);
}

void meet_all_lanes(const char* what, void* slot, WarpMeetings::Complete complete) {
  Block& block = *Block::running();
  block.meetings.meet(block, what, kAllLanes, slot, complete);
}

}  // namespace

#if defined(__x86_64__) && !NVFP4_EMULATION_ASAN
#define NVFP4_FOR_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define NVFP4_FOR_VECTORS
#endif

NVFP4_FOR_VECTORS void add_products(RowOfSums* sums, const double* a, const RowOfSums* b, std::uint32_t depth) {
  for (std::uint32_t row = 0; row < kRows; ++row) {
    RowOfSums sum = sums[row];
    for (std::uint32_t k = 0; k < depth; ++k) sum += a[row * depth + k] * b[k];
    sums[row] = sum;
  }
}

void load_matrices(std::uint32_t* words, std::uint32_t num_matrices, bool is_transposed, std::uint32_t address) {
  MatrixLoad slot{words, num_matrices, is_transposed, address, __builtin_return_address(0)};
  meet_all_lanes("ldmatrix", &slot, load_for_all);
}

void store_matrices_transposed(const std::uint32_t* words, std::uint32_t address) {
  MatrixStore slot{words, address, __builtin_return_address(0)};
  meet_all_lanes("stmatrix", &slot, store_for_all);
}

std::uint32_t transpose_matrix(std::uint32_t pair) {
  meet_all_lanes("movmatrix", &pair, transpose_for_all);
  return pair;
}

void multiply_bf16(float* c, const std::uint32_t* a, const std::uint32_t* b) {
  Product slot{c, a, b};
  meet_all_lanes("mma m16n8k16", &slot, multiply_bf16_for_all);
}

void multiply_nvfp4(float* c, const std::uint32_t* a, const std::uint32_t* b, const BlockScales& scales) {
  Product slot{c, a, b, scales};
  meet_all_lanes("mma m16n8k64", &slot, multiply_nvfp4_for_all);
}

}  // namespace nvfp4::emulation
