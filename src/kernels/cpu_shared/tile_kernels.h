// What an instruction set contributes to the NVFP4 linear kernels: functions on tiles of 16 rows x 64 columns
// (layouts/tile_16x64.h). The loops around them are tile_linear.cc.
//
// Inputs are packed per token and tile of 64 columns, as integers times a scale:
//   digits  16-bit (float32) inputs: 24-bit fixed point under one power of two per tile, in three bytes: a high number
//           of two and a low one. The dot product of a block of 16 with its weights is an exact integer, so its order
//           does not matter. Against the largest magnitude of the tile the error is below 2^-23; BF16 inputs within
//           2^15 of it are exact, and within 2^7 of it their low number is zero: such blocks have no low product.
//   codes   NVFP4 inputs: 2 * E2M1, exact, and the scale of each block of 16.
// The sum over blocks is the same for every instruction set and number of tokens, operation by operation:
//   digits  tile = dot_0 * s_0, then tile = fma(dot_b, s_b, tile);  high = fma(tile, tile scale, high)
//           where there are low numbers: low = fma(low dot_b * s_b, tile scale, low);  acc = 256 * high + low
//   codes   acc = fma(dot_b * s_b, scale_b, acc), the product exact
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/contract/linear.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::kernels::cpu_shared {

// The order of the 16 columns of a block in packed inputs: that in which codes come out of the nibbles of two words.
inline constexpr std::array<std::uint8_t, 16> kPackedOrder = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};

// One token's 64 columns. Bytes are signed digits (-128..127) with biases for the kernels that add 12 to the weights,
// or for the panel kernels plain bytes of high + 2^15 and low + 2^7.
struct DigitTile {
  std::uint8_t digits[4][3][16];  // [block][most significant first]
  std::int32_t high_bias[4];      // -12 * sum of the block's high numbers
  std::int16_t low_bias[4];
  float scale;
  std::uint32_t low_blocks;  // bit b: block b has a low number that is not zero
};
struct CodeTile {
  std::int8_t codes[4][16];
  std::int32_t start[4];  // kDotBase - 12 * sum of the block
  float scale[4];         // over kTileScaleUnit
};

// An integer n that is added to these bits makes the float32 number kDotBaseValue + n, for |n| < 2^22: a sum that
// starts here needs no conversion.
inline constexpr std::int32_t kDotBase = 0x4B400000;
inline constexpr float kDotBaseValue = 0x1.8p23F;
inline constexpr float kHighUnit = 256.0F;  // of high numbers, in low ones

// A block with low numbers among the inputs of one panel call.
struct LowBlock {
  std::uint8_t token_idx;
  std::uint8_t block_idx;  // of the token: 4 * tile + block
};
// Those of a call, each token's in ascending order; or, when they are many, simply all.
struct LowBlocks {
  const LowBlock* some = nullptr;
  std::uint32_t num_some = 0;
  bool all = false;
};

inline constexpr std::uint64_t kPanelRows = 2 * Tile16x64::kRows;
inline constexpr std::uint64_t kPanelTiles = 8;  // 512 columns of 32 rows: 24 KB
inline constexpr std::uint32_t kMaxTokens = 8;   // of one call

// Where a stream of tiles goes on: what would lie from `end` on lies `jump` bytes further. Only prefetching asks.
struct StreamEnd {
  const std::uint8_t* end = nullptr;
  std::ptrdiff_t jump = 0;

  [[nodiscard]] const std::uint8_t* at(const std::uint8_t* place) const { return place < end ? place : place + jump; }
};

// Products of weights with at most kMaxTokens tokens, for one kind of input.
struct TileProducts {
  using OfPanel = void (*)(const std::uint8_t* panel, std::uint64_t num_tiles, const std::uint8_t* x,
                           const LowBlocks& low_blocks, float* acc, float* low);
  using OfStream = void (*)(const std::uint8_t* tiles, std::uint64_t num_tiles, const StreamEnd& stream,
                            const std::uint8_t* x, float* acc);
  // Decodes a row group's tiles as it goes. x [num_tiles, t] records; acc [t, 16], set.
  std::array<OfStream, kMaxTokens> few{};
  std::uint32_t max_few = 0;
  // Rows decoded before, for many tokens: panel of kPanelRows rows, at most kPanelTiles tiles. acc, low [t,
  // kPanelRows], added to; low_blocks and low only for digits.
  void (*decode_panel)(const std::uint8_t* first_group, const std::uint8_t* second_group, std::uint64_t num_tiles,
                       std::uint8_t* panel) = nullptr;
  std::array<OfPanel, kMaxTokens> panel{};
  std::uint32_t max_panel = 0;
};

// Where the records of one token lie: tile i at (i / tiles_per_stream) * stream_stride +
// (i % tiles_per_stream) * stride, in records.
struct PackedPlace {
  std::uint64_t stride = 1;
  std::uint64_t stream_stride = 0;
  std::uint64_t tiles_per_stream = 1;

  [[nodiscard]] std::uint64_t of(std::uint64_t tile) const {
    return tile / tiles_per_stream * stream_stride + tile % tiles_per_stream * stride;
  }
};

struct TileKernels {
  TileProducts digits, codes;
  std::size_t panel_tile_bytes = 0;
  // Packs one token x [count]; answers what its sums are to be multiplied by.
  float (*pack_digits)(const float* x, std::uint64_t count, const PackedPlace& place, bool for_panel, DigitTile* out);
  // codes [count], block_scales [count / 16] E4M3.
  void (*pack_codes)(const std::int8_t* codes, const std::uint8_t* block_scales, std::uint64_t count,
                     const PackedPlace& place, CodeTile* out);
  // See activation_rows.h of the room.
  float (*quantize_nvfp4_row)(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                              const float* x, float* scratch, std::int8_t* codes, std::uint8_t* block_scales);
  // y[r] = acc[r] * multiplier * scales[r] + bias[r] (bias may be null) for r < count.
  void (*store)(const float* acc, float multiplier, const float* scales, const float* bias, std::uint64_t count,
                bool round_to_bf16, float* y);
};

}  // namespace nvfp4::kernels::cpu_shared
