// The emulated products against float64 on random fragments, and their fragments against CuTe's layouts.
#include "emulation/matrix_operations.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "kernels/cuda_shared/async_copy.cuh"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/dynamic_shared.cuh"
#include "kernels/cuda_shared/fp4_arithmetic.cuh"
#include "kernels/cuda_shared/ptx/matrices.cuh"
#include "support/gpu_array.h"

namespace nvfp4::emulation {
namespace {

using kernels::launch_in_order;
using kernels::LaunchShape;
using support::GpuArray;
using support::GpuQueue;

// A CuTe layout: mixed-radix digits of an index, each times its stride.
struct Mode {
  std::uint32_t size, stride;
};
std::uint32_t layout_at(std::span<const Mode> modes, std::uint32_t idx) {
  std::uint32_t at = 0;
  for (const Mode& mode : modes) {
    at += idx % mode.size * mode.stride;
    idx /= mode.size;
  }
  return at;
}

// SM120_16x8x64_TN_VS of CuTe: (lane, element) -> row + num_rows * column, of A (16 x 64), B (8 x 64), C (16 x 8).
TEST(MatrixFragments, AreThoseOfCute) {
  constexpr std::array<Mode, 2> kLanesA = {{{4, 128}, {8, 1}}};
  constexpr std::array<Mode, 3> kElementsA = {{{8, 16}, {2, 8}, {2, 512}}};
  constexpr std::array<Mode, 2> kLanesB = {{{4, 64}, {8, 1}}};
  constexpr std::array<Mode, 2> kElementsB = {{{8, 8}, {2, 256}}};
  constexpr std::array<Mode, 2> kLanesC = {{{4, 32}, {8, 1}}};
  constexpr std::array<Mode, 2> kElementsC = {{{2, 16}, {2, 8}}};
  constexpr std::array<Mode, 3> kScalesA = {{{2, 8}, {2, 0}, {8, 1}}};
  constexpr std::array<Mode, 2> kScalesB = {{{4, 0}, {8, 1}}};
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t i = 0; i < 32; ++i) {
      const ElementPlace place = nvfp4_place_of_a(lane, i);
      EXPECT_EQ(place.row + 16 * place.column, layout_at(kLanesA, lane) + layout_at(kElementsA, i));
    }
    for (std::uint32_t i = 0; i < 16; ++i) {
      const ElementPlace place = nvfp4_place_of_b(lane, i);
      EXPECT_EQ(place.column + 8 * place.row, layout_at(kLanesB, lane) + layout_at(kElementsB, i));
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      const ElementPlace place = place_of_c(lane, i);
      EXPECT_EQ(place.row + 16 * place.column, layout_at(kLanesC, lane) + layout_at(kElementsC, i));
    }
    // Lanes that CuTe gives a row's scales too, but the instruction does not look at, are left out here.
    if (row_of_scales(lane) < 16) {
      EXPECT_EQ(row_of_scales(lane), layout_at(kScalesA, lane));
    }
    if (column_of_scales(lane) < 8) {
      EXPECT_EQ(column_of_scales(lane), layout_at(kScalesB, lane));
    }
  }
}

// SM80_16x8x16 of CuTe.
TEST(MatrixFragments, OfBf16AreThoseOfCute) {
  constexpr std::array<Mode, 2> kLanesA = {{{4, 32}, {8, 1}}};
  constexpr std::array<Mode, 3> kElementsA = {{{2, 16}, {2, 8}, {2, 128}}};
  constexpr std::array<Mode, 2> kLanesB = {{{4, 16}, {8, 1}}};
  constexpr std::array<Mode, 2> kElementsB = {{{2, 8}, {2, 64}}};
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t i = 0; i < 8; ++i) {
      const ElementPlace place = bf16_place_of_a(lane, i);
      EXPECT_EQ(place.row + 16 * place.column, layout_at(kLanesA, lane) + layout_at(kElementsA, i));
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      const ElementPlace place = bf16_place_of_b(lane, i);
      EXPECT_EQ(place.column + 8 * place.row, layout_at(kLanesB, lane) + layout_at(kElementsB, i));
    }
  }
}

// Registers of one warp, [lane][register].
struct Registers {
  std::uint32_t a[32][4], b[32][2], scales_a[32], scales_b[32];
  float c[32][4];
};

// With the scales of other lanes.
template <std::uint32_t kRowLanes, std::uint32_t kColumnLane>
__global__ void multiply_selected(Registers* registers) {
  const std::uint32_t lane = threadIdx.x;
  Registers& all = *registers;
  const std::uint32_t a[4] = {all.a[lane][0], all.a[lane][1], all.a[lane][2], all.a[lane][3]};
  const std::uint32_t b[2] = {all.b[lane][0], all.b[lane][1]};
  float c[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  kernels::mma_m16n8k64_nvfp4<kRowLanes, kColumnLane>(c, a, b, all.scales_a[lane], all.scales_b[lane]);
  for (std::uint32_t i = 0; i < 4; ++i) all.c[lane][i] = c[i];
}

// What devices without the instruction compute.
template <std::uint32_t kRowLanes, std::uint32_t kColumnLane>
__global__ void multiply_by_arithmetic(Registers* registers) {
  const std::uint32_t lane = threadIdx.x;
  Registers& all = *registers;
  float c[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  kernels::fp4_arithmetic::multiply<kRowLanes, kColumnLane>(c, all.a[lane], all.b[lane], all.scales_a[lane],
                                                            all.scales_b[lane]);
  for (std::uint32_t i = 0; i < 4; ++i) all.c[lane][i] = c[i];
}

__global__ void multiply_once(Registers* registers, bool is_nvfp4) {
  const std::uint32_t lane = threadIdx.x;
  Registers& all = *registers;
  const std::uint32_t a[4] = {all.a[lane][0], all.a[lane][1], all.a[lane][2], all.a[lane][3]};
  const std::uint32_t b[2] = {all.b[lane][0], all.b[lane][1]};
  float c[4] = {all.c[lane][0], all.c[lane][1], all.c[lane][2], all.c[lane][3]};
  if (is_nvfp4) {
    kernels::mma_m16n8k64_nvfp4(c, a, b, all.scales_a[lane], all.scales_b[lane]);
  } else {
    kernels::mma_m16n8k16(c, a, b[0], b[1]);
  }
  for (std::uint32_t i = 0; i < 4; ++i) all.c[lane][i] = c[i];
}

Registers run_once(const GpuQueue& queue, const Registers& before, bool is_nvfp4) {
  const GpuArray<Registers> there(queue, std::vector<Registers>{before});
  queue.expect_ok(launch_in_order("multiply", multiply_once, LaunchShape{}, queue.get(), there.data(), is_nvfp4));
  return there.host()[0];
}

// Everything is laid out here by the words of the PTX manual, not by the functions under test.
TEST(MatrixProducts, OfNvfp4MatchFloat64) {
  const GpuQueue queue;
  std::mt19937_64 random(1);
  for (int round = 0; round < 20; ++round) {
    std::uint8_t a[16][64], b[64][8], scales_a[16][4], scales_b[8][4];
    for (auto& row : a) {
      for (auto& code : row) code = static_cast<std::uint8_t>(random() % 16);
    }
    for (auto& row : b) {
      for (auto& code : row) code = static_cast<std::uint8_t>(random() % 16);
    }
    for (auto& row : scales_a) {
      for (auto& scale : row) scale = static_cast<std::uint8_t>(random() % 0x7F);
    }
    for (auto& row : scales_b) {
      for (auto& scale : row) scale = static_cast<std::uint8_t>(random() % 0x7F);
    }
    Registers registers{};
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      const std::uint32_t group = lane / 4;
      const std::uint32_t in_group = lane % 4;
      for (std::uint32_t i = 0; i < 32; ++i) {
        const std::uint32_t row = i < 8 || (i >= 16 && i < 24) ? group : group + 8;
        const std::uint32_t column = in_group * 8 + (i & 7U) + (i < 16 ? 0 : 32);
        registers.a[lane][i / 8] |= std::uint32_t{a[row][column]} << i % 8 * 4;
      }
      for (std::uint32_t i = 0; i < 16; ++i) {
        const std::uint32_t row = in_group * 8 + (i & 7U) + (i < 8 ? 0 : 32);
        registers.b[lane][i / 8] |= std::uint32_t{b[row][group]} << i % 8 * 4;
      }
      std::memcpy(&registers.scales_a[lane], scales_a[in_group % 2 == 0 ? group : group + 8], 4);
      std::memcpy(&registers.scales_b[lane], scales_b[group], 4);
      // What the selected lanes hold is all that counts.
      if (in_group >= 2) registers.scales_a[lane] = static_cast<std::uint32_t>(random());
      if (in_group >= 1) registers.scales_b[lane] = static_cast<std::uint32_t>(random());
      for (float& c : registers.c[lane]) c = static_cast<float>(random() % 1000) - 500.0F;
    }
    const Registers after = run_once(queue, registers, true);
    for (std::uint32_t row = 0; row < 16; ++row) {
      for (std::uint32_t column = 0; column < 8; ++column) {
        const std::uint32_t lane = row % 8 * 4 + column / 2;
        const std::uint32_t i = row / 8 * 2 + column % 2;
        double sum = registers.c[lane][i];
        for (std::uint32_t k = 0; k < 64; ++k) {
          sum += double{decode_e2m1(a[row][k])} * decode_e4m3(scales_a[row][k / 16]) * decode_e2m1(b[k][column]) *
                 decode_e4m3(scales_b[column][k / 16]);
        }
        ASSERT_EQ(after.c[lane][i], static_cast<float>(sum)) << row << ", " << column;
      }
    }
  }
}

// Where the scales lie in other lanes, the products are those of scales that were moved there.
TEST(MatrixProducts, OfNvfp4TakeScalesOfTheLanesThatAreSelected) {
  const GpuQueue queue;
  std::mt19937_64 random(3);
  Registers registers{};
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t& word : registers.a[lane]) word = static_cast<std::uint32_t>(random());
    for (std::uint32_t& word : registers.b[lane]) word = static_cast<std::uint32_t>(random());
    registers.scales_a[lane] = static_cast<std::uint32_t>(random()) & 0x3F3F3F3FU;
    registers.scales_b[lane] = static_cast<std::uint32_t>(random()) & 0x3F3F3F3FU;
  }
  const auto expect_moved = [&](auto kernel, std::uint32_t row_lanes, std::uint32_t column_lane) {
    const GpuArray<Registers> there(queue, std::vector<Registers>{registers});
    queue.expect_ok(launch_in_order("multiply", kernel, LaunchShape{}, queue.get(), there.data()));
    const Registers found = there.host()[0];
    Registers moved = registers;
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      moved.scales_a[lane] = registers.scales_a[lane / 4 * 4 + 2 * row_lanes + lane % 2];
      moved.scales_b[lane] = registers.scales_b[lane / 4 * 4 + column_lane];
    }
    const Registers expected = run_once(queue, moved, true);
    for (std::uint32_t i = 0; i < 32 * 4; ++i) {
      const float sum = expected.c[i / 4][i % 4];
      // The arithmetic rounds after each of four blocks, sums of 64 products below 127.
      EXPECT_NEAR(found.c[i / 4][i % 4], sum, 0x1p-24F * 4 * 64 * 127) << row_lanes << ", " << column_lane;
    }
  };
  expect_moved(multiply_selected<0, 0>, 0, 0);
  expect_moved(multiply_selected<0, 1>, 0, 1);
  expect_moved(multiply_selected<1, 2>, 1, 2);
  expect_moved(multiply_selected<1, 3>, 1, 3);
  expect_moved(multiply_by_arithmetic<0, 0>, 0, 0);
  expect_moved(multiply_by_arithmetic<0, 3>, 0, 3);
  expect_moved(multiply_by_arithmetic<1, 2>, 1, 2);
}

TEST(MatrixProducts, OfBf16MatchFloat64) {
  const GpuQueue queue;
  std::mt19937_64 random(2);
  float a[16][16], b[16][8];
  for (auto& row : a) {
    for (float& value : row) value = static_cast<float>(random() % 255) / 8.0F;
  }
  for (auto& row : b) {
    for (float& value : row) value = static_cast<float>(random() % 255) / 4.0F;
  }
  Registers registers{};
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t group = lane / 4;
    const std::uint32_t two_t = lane % 4 * 2;
    for (std::uint32_t i = 0; i < 8; ++i) {
      const std::uint32_t row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      const std::uint32_t column = two_t + (i & 1U) + (i < 4 ? 0 : 8);
      registers.a[lane][i / 2] |= std::uint32_t{encode_bf16(a[row][column])} << i % 2 * 16;
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      registers.b[lane][i / 2] |= std::uint32_t{encode_bf16(b[two_t + (i & 1U) + (i < 2 ? 0 : 8)][group])}
                                  << i % 2 * 16;
    }
  }
  const Registers after = run_once(queue, registers, false);
  for (std::uint32_t row = 0; row < 16; ++row) {
    for (std::uint32_t column = 0; column < 8; ++column) {
      double sum = 0;
      for (std::uint32_t k = 0; k < 16; ++k) sum += double{a[row][k]} * b[k][column];
      ASSERT_EQ(after.c[row % 8 * 4 + column / 2][row / 8 * 2 + column % 2], static_cast<float>(sum));
    }
  }
}

// Four matrices of 8 rows of 16 bytes, one after the other.
__global__ void load_and_transpose(const std::uint32_t* from, std::uint32_t* words) {
  auto* const shared = reinterpret_cast<std::uint32_t*>(kernels::dynamic_shared());
  for (std::uint32_t i = threadIdx.x; i < 128; i += 32) shared[i] = from[i];
  __syncwarp();
  const std::uint32_t address = kernels::shared_address(shared) + threadIdx.x * 16;
  std::uint32_t loaded[3][4] = {};
  kernels::load_4_matrices(loaded[0], address);
  kernels::load_4_matrices_transposed(loaded[1], address);
  for (std::uint32_t i = 0; i < 4; ++i) loaded[2][i] = kernels::transpose_pairs(loaded[0][i]);
  for (std::uint32_t i = 0; i < 12; ++i) words[threadIdx.x * 12 + i] = loaded[i / 4][i % 4];
}

TEST(MatrixLoads, GiveEachLaneItsElements) {
  const GpuQueue queue;
  std::vector<std::uint32_t> numbers(128);
  for (std::uint32_t i = 0; i < 128; ++i) numbers[i] = (2 * i + 1) << 16U | 2 * i;  // number = its place
  const GpuArray<std::uint32_t> from(queue, numbers);
  const GpuArray<std::uint32_t> words(queue, 32 * 12);
  const LaunchShape shape{.num_threads = 32, .shared_bytes = 512};
  queue.expect_ok(launch_in_order("load", load_and_transpose, shape, queue.get(),
                                  static_cast<const std::uint32_t*>(from.data()), words.data()));
  const std::vector<std::uint32_t> found = words.host();
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t g = lane / 4;
    const std::uint32_t two_t = lane % 4 * 2;
    for (std::uint32_t matrix = 0; matrix < 4; ++matrix) {
      const std::uint32_t first = matrix * 64;
      const std::uint32_t straight = (first + g * 8 + two_t + 1) << 16U | (first + g * 8 + two_t);
      const std::uint32_t transposed = (first + (two_t + 1) * 8 + g) << 16U | (first + two_t * 8 + g);
      EXPECT_EQ(found[lane * 12 + matrix], straight);
      EXPECT_EQ(found[lane * 12 + 4 + matrix], transposed);
      EXPECT_EQ(found[lane * 12 + 8 + matrix], transposed);
    }
  }
}

}  // namespace
}  // namespace nvfp4::emulation
