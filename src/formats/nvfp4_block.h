// The NVFP4 block: block_size E2M1 codes along k under one E4M3 scale, under one FP32 scale of the matrix or shard.
//
//   w[k] = e2m1(code[k]) * (e4m3(block_scale) (*|/) scale2), the scales first, each step rounded to FP32
//   packing: byte j of a row holds k = 2j in its low nibble and k = 2j + 1 in its high nibble
//   block_size is 16; some weight-only checkpoints have 32
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/host_device.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "nvfp4/tensor.h"

namespace nvfp4 {

inline constexpr std::uint32_t kNvfp4BlockSize = 16;
// Largest quotient amax / scale2 that codes and block scales can hold.
inline constexpr float kNvfp4Range = kE2m1Max * kE4m3Max;

NVFP4_HD constexpr std::uint8_t pack_e2m1(std::uint8_t even_code, std::uint8_t odd_code) {
  return static_cast<std::uint8_t>((even_code & 15U) | ((odd_code & 15U) << 4U));
}

// Code of element k of a row of packed codes.
NVFP4_HD constexpr std::uint8_t unpack_e2m1(const std::uint8_t* packed_row, std::size_t k) {
  const std::uint8_t byte = packed_row[k / 2];
  return static_cast<std::uint8_t>((k % 2) == 0 ? byte & 15U : byte >> 4U);
}

// The FP32 scale of one block. scale2 as the producer stored it: ModelOpt multiplies by it, compressed-tensors divides.
NVFP4_HD constexpr float block_multiplier(std::uint8_t block_scale, float scale2_stored, ScaleConvention convention) {
  const float scale = decode_e4m3(block_scale);
  return convention == ScaleConvention::kMultiplier ? scale * scale2_stored : scale / scale2_stored;
}

// Element as the producer's library reconstructs it in FP32. ModelOpt reads code 8 as +0, compressed-tensors as -0.
NVFP4_HD constexpr float decode_nvfp4(std::uint8_t code, float multiplier, ScaleConvention convention) {
  const float value = decode_e2m1(code == 8 && convention == ScaleConvention::kMultiplier ? std::uint8_t{0} : code);
  return value * multiplier;
}

// One row: packed codes [k / 2], block scales [k / block_size], out [k] float. block_size is even and divides k.
void dequantize_row(std::span<const std::uint8_t> packed_codes, std::span<const std::uint8_t> block_scales,
                    std::uint32_t block_size, float scale2_stored, ScaleConvention convention, std::span<float> out);

}  // namespace nvfp4
