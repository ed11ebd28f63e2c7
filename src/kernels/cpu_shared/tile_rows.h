// The scalar parts of packing inputs for the tile kernels.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_shared {

// decode_e4m3(byte) / kTileScaleUnit for bytes from 0 to 0x7E.
extern const std::array<float, 128> kTileScaleValues;

// quantize_nvfp4_row() of tile_kernels.h for any processor.
float quantize_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                         float* scratch, std::int8_t* codes, std::uint8_t* block_scales);

}  // namespace nvfp4::kernels::cpu_shared
