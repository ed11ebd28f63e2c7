#include "kernels/cpu_portable/row_decoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/fp16.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::kernels::cpu_portable {
namespace {

struct CodePair {
  float even, odd;
};

constexpr std::array<CodePair, 256> make_code_pairs() {
  std::array<CodePair, 256> pairs{};
  for (std::size_t byte = 0; byte < pairs.size(); ++byte) {
    pairs[byte] = {decode_e2m1(static_cast<std::uint8_t>(byte & 15U)),
                   decode_e2m1(static_cast<std::uint8_t>(byte >> 4U))};
  }
  return pairs;
}

constexpr std::array<float, 256> make_e4m3_values() {
  std::array<float, 256> values{};
  for (std::size_t byte = 0; byte < values.size(); ++byte) values[byte] = decode_e4m3(static_cast<std::uint8_t>(byte));
  return values;
}

constexpr std::array<CodePair, 256> kCodePairs = make_code_pairs();
constexpr std::array<float, 256> kE4m3Values = make_e4m3_values();

void decode_nvfp4_row(const LinearWeight& weight, std::uint64_t row_idx, float* out) {
  const auto* codes = reinterpret_cast<const std::uint8_t*>(weight.elements) + row_idx * (weight.in_features / 2);
  const std::uint64_t num_blocks = weight.in_features / weight.block_size;
  const std::uint8_t* scales = weight.block_scales + row_idx * num_blocks;
  const std::uint32_t block_bytes = weight.block_size / 2;
  for (std::uint64_t block_idx = 0; block_idx < num_blocks; ++block_idx) {
    const float scale = kE4m3Values[scales[block_idx]];
    for (std::uint32_t j = 0; j < block_bytes; ++j) {
      const CodePair pair = kCodePairs[codes[j]];
      out[2 * j] = pair.even * scale;
      out[2 * j + 1] = pair.odd * scale;
    }
    codes += block_bytes;
    out += weight.block_size;
  }
}

void decode_tiled_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row, float* out) {
  const std::uint64_t cols = weight.in_features;
  const auto* const tiles = reinterpret_cast<const std::uint8_t*>(weight.elements) +
                            expert_idx * Tile16x64::num_bytes(weight.out_features, cols);
  for (std::uint64_t col = 0; col < cols; col += 2) {
    const float scale = kE4m3Values[decode_tile_scale(tiles[Tile16x64::scale_offset(row, col, cols)])];
    const CodePair pair = kCodePairs[tiles[Tile16x64::code_offset(row, col, cols)]];
    out[col] = pair.even * scale;
    out[col + 1] = pair.odd * scale;
  }
}

void decode_bf16_row(const std::byte* elements, std::uint64_t count, float* out) {
  for (std::uint64_t k = 0; k < count; ++k) {
    std::uint16_t code;
    std::memcpy(&code, elements + 2 * k, 2);
    out[k] = decode_bf16(code);
  }
}

void decode_fp16_row(const std::byte* elements, std::uint64_t count, float* out) {
  for (std::uint64_t k = 0; k < count; ++k) {
    std::uint16_t code;
    std::memcpy(&code, elements + 2 * k, 2);
    out[k] = decode_fp16(code);
  }
}

}  // namespace

void decode_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row, float* out) {
  const std::uint64_t row_idx = expert_idx * weight.out_features + row;
  const std::uint64_t first = row_idx * weight.in_features;
  switch (weight.format) {
    case WeightFormat::kF32:
      std::memcpy(out, weight.elements + first * sizeof(float), weight.in_features * sizeof(float));
      return;
    case WeightFormat::kF16:
      return decode_fp16_row(weight.elements + 2 * first, weight.in_features, out);
    case WeightFormat::kBF16:
      return decode_bf16_row(weight.elements + 2 * first, weight.in_features, out);
    case WeightFormat::kFp8: {
      const auto* codes = reinterpret_cast<const std::uint8_t*>(weight.elements) + first;
      std::transform(codes, codes + weight.in_features, out, [](std::uint8_t code) { return kE4m3Values[code]; });
      return;
    }
    case WeightFormat::kNvfp4:
      if (weight.layout == WeightLayout::kTile16x64) return decode_tiled_row(weight, expert_idx, row, out);
      return decode_nvfp4_row(weight, row_idx, out);
  }
}

}  // namespace nvfp4::kernels::cpu_portable
