// CUDA's triples of numbers, and the four that a kernel reads.
#pragma once

#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;

  constexpr dim3(unsigned in_x = 1, unsigned in_y = 1, unsigned in_z = 1) : x(in_x), y(in_y), z(in_z) {}
  [[nodiscard]] constexpr std::uint32_t count() const { return x * y * z; }
};

// Of the thread that is running; all in one place, which the check of accesses leaves out.
struct EmulatedPlace {
  uint3 thread_idx;
  uint3 block_idx;
  dim3 block_dim;
  dim3 grid_dim;
};
extern EmulatedPlace emulated_place;
inline uint3& threadIdx = emulated_place.thread_idx;
inline uint3& blockIdx = emulated_place.block_idx;
inline dim3& blockDim = emulated_place.block_dim;
inline dim3& gridDim = emulated_place.grid_dim;
