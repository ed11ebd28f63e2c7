// The header of the same name, for the host.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "emulation/access.h"
#include "emulation/block.h"
#include "formats/bf16.h"
#include "formats/e2m1.h"

namespace nvfp4::kernels {

// One BF16 number from each half of the words: a product of two, and a sum, are exact in float64 as far as one
// rounding to BF16 can tell.
template <class Operation>
std::uint32_t for_both_halves(std::uint32_t a, std::uint32_t b, std::uint32_t c, Operation operation) {
  std::uint32_t result = 0;
  for (std::uint32_t shift = 0; shift < 32; shift += 16) {
    const auto number = [shift](std::uint32_t pair) { return decode_bf16(static_cast<std::uint16_t>(pair >> shift)); };
    result |= std::uint32_t{encode_bf16(operation(number(a), number(b), number(c)))} << shift;
  }
  return result;
}

template <bool kHigh>
std::uint32_t multiply_by_half(std::uint32_t a, std::uint32_t pair) {
  const std::uint32_t half = kHigh ? pair >> 16U : pair & 0xFFFFU;
  return for_both_halves(a, half << 16U | half, 0, [](float x, float y, float) { return x * y; });
}
inline std::uint32_t select_bits(std::uint32_t mask, std::uint32_t a, std::uint32_t b) {
  return (a & mask) | (b & ~mask);
}
inline std::uint32_t fuse_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return for_both_halves(a, b, c, [](float x, float y, float z) { return std::fma(x, y, z); });
}
inline float larger_or_nan(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b); }
inline void pin(std::uint32_t& /*value*/) {}
inline void pin(float& /*value*/) {}
inline void need(std::uint32_t /*value*/) {}
inline std::uint32_t encode_e2m1_pair(float low, float high) {
  return std::uint32_t{encode_e2m1(low)} | std::uint32_t{encode_e2m1(high)} << 4U;
}
inline std::uint32_t lane_from_here_on() { return threadIdx.x % 32; }
inline std::uint32_t thread_from_here_on() { return threadIdx.x; }
inline void load_4_words(std::uint32_t* words, std::uint32_t address) {
  const auto* const from = reinterpret_cast<const uint4*>(emulation::Block::running()->shared.at(address));
  const uint4 loaded = *from;
  words[0] = loaded.x, words[1] = loaded.y, words[2] = loaded.z, words[3] = loaded.w;
}
inline std::uint32_t load_word(std::uint32_t address) {
  return *reinterpret_cast<const std::uint32_t*>(emulation::Block::running()->shared.at(address));
}
inline void store_float(std::uint32_t address, float value) {
  *reinterpret_cast<float*>(emulation::Block::running()->shared.at(address)) = value;
}
inline void load_2_words(std::uint32_t* words, std::uint32_t address) {
  const auto* const from = reinterpret_cast<const uint2*>(emulation::Block::running()->shared.at(address));
  const uint2 loaded = *from;
  words[0] = loaded.x;
  words[1] = loaded.y;
}
inline float power_of_two(float value) { return std::exp2(value); }
inline uint4 load_past_l1(const uint4* from) { return *from; }

}  // namespace nvfp4::kernels
