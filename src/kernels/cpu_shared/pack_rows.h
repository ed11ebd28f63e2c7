// Packing of inputs for the tile kernels (tile_kernels.h), as templates over an instruction set `Isa`, which has
//
//   largest_bits  bits of the largest magnitude of some blocks of 16
//   pack_digits   one block of 16 floats, times a power of two, into three rows of digits; answers a DigitBlock
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "formats/float_bits.h"
#include "kernels/cpu_shared/fixed_point.h"
#include "kernels/cpu_shared/tile_kernels.h"
#include "kernels/cpu_shared/tile_rows.h"

namespace nvfp4::kernels::cpu_shared {

// The sums of a block's high and low numbers (DigitTile), unless packed for a panel, and whether a low number is not 0.
struct DigitBlock {
  std::int32_t high_sum = 0;
  std::int32_t low_sum = 0;
  bool has_low = false;
};

template <class Isa>
struct RowPacking {
  static std::uint64_t num_blocks_of(std::uint64_t count, std::uint64_t tile_idx) {
    const std::uint64_t left = (count - tile_idx * Tile16x64::kCols) / Tile16x64::kBlockCols;
    return left < Tile16x64::kBlocks ? left : Tile16x64::kBlocks;
  }

  // The digits of zero.
  static void clear(DigitTile& tile, bool for_panel, std::uint64_t first_block) {
    for (std::uint64_t b = first_block; b < Tile16x64::kBlocks; ++b) {
      __builtin_memset(tile.digits[b], 0, sizeof(tile.digits[b]));
      if (for_panel) __builtin_memset(tile.digits[b][0], 0x80, sizeof(tile.digits[b][0]));
      tile.high_bias[b] = 0;
      tile.low_bias[b] = 0;
    }
  }

  static float pack_digits(const float* x, std::uint64_t count, const PackedPlace& place, bool for_panel,
                           DigitTile* out) {
    const std::uint64_t num_tiles = Tile16x64::num_tiles(count);
    std::uint32_t row_bits = 0;
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      const std::uint32_t bits = Isa::largest_bits(x + i * Tile16x64::kCols, num_blocks_of(count, i));
      out[place.of(i)].scale = float_from_bits(bits);
      row_bits = bits > row_bits ? bits : row_bits;
    }
    const bool finite = row_bits < kInfinityBits;
    const std::int32_t row_shift = fixed_point_shift(row_bits);
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      DigitTile& tile = out[place.of(i)];
      const std::uint32_t bits = float_bits(tile.scale);
      if (!finite || bits == 0) {
        clear(tile, for_panel, 0);
        tile.scale = 0.0F;
        tile.low_blocks = 0;
        continue;
      }
      const std::int32_t shift = fixed_point_shift(bits);
      const float factor = power_of_two(shift);
      std::uint32_t low_blocks = 0;
      const std::uint64_t num_blocks = num_blocks_of(count, i);
      for (std::uint64_t b = 0; b < num_blocks; ++b) {
        const DigitBlock block =
            Isa::pack_digits(x + i * Tile16x64::kCols + 16 * b, factor, for_panel, tile.digits[b][0]);
        tile.high_bias[b] = -12 * block.high_sum;
        tile.low_bias[b] = static_cast<std::int16_t>(-12 * block.low_sum);
        low_blocks |= static_cast<std::uint32_t>(block.has_low) << b;
      }
      tile.low_blocks = low_blocks;
      clear(tile, for_panel, num_blocks);
      tile.scale = digit_tile_scale(shift, row_shift);
    }
    return finite ? digit_row_multiplier(row_shift) : float_from_bits(0x7FC00000U);
  }

  static void pack_codes(const std::int8_t* codes, const std::uint8_t* block_scales, std::uint64_t count,
                         const PackedPlace& place, CodeTile* out) {
    const __m128i order = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kPackedOrder.data()));
    const __m128i offset = _mm_set1_epi8(-128);
    const std::uint64_t num_tiles = Tile16x64::num_tiles(count);
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      CodeTile& tile = out[place.of(i)];
      const std::uint64_t num_blocks = num_blocks_of(count, i);
      for (std::uint64_t b = 0; b < num_blocks; ++b) {
        const std::uint64_t at = i * Tile16x64::kCols + 16 * b;
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + at));
        const __m128i sums = _mm_sad_epu8(_mm_xor_si128(values, offset), _mm_setzero_si128());
        const std::int32_t sum = _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(tile.codes[b]), _mm_shuffle_epi8(values, order));
        tile.start[b] = kDotBase - 12 * sum;
        tile.scale[b] = kTileScaleValues.data()[block_scales[at / 16]];
      }
      for (std::uint64_t b = num_blocks; b < Tile16x64::kBlocks; ++b) {
        __builtin_memset(tile.codes[b], 0, sizeof(tile.codes[b]));
        tile.start[b] = kDotBase;
        tile.scale[b] = 0.0F;
      }
    }
  }
};

}  // namespace nvfp4::kernels::cpu_shared
