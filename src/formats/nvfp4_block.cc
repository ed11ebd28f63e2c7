#include "formats/nvfp4_block.h"

#include <array>
#include <cassert>

namespace nvfp4 {
namespace {

using BlockTable = std::array<float, kE2m1NumCodes>;

constexpr BlockTable make_values(ScaleConvention convention) {
  BlockTable values{};
  for (std::uint8_t code = 0; code < kE2m1NumCodes; ++code) values[code] = decode_nvfp4(code, 1.0F, convention);
  return values;
}

constexpr BlockTable kMultiplierValues = make_values(ScaleConvention::kMultiplier);
constexpr BlockTable kDivisorValues = make_values(ScaleConvention::kDivisor);

}  // namespace

void dequantize_row(std::span<const std::uint8_t> packed_codes, std::span<const std::uint8_t> block_scales,
                    std::uint32_t block_size, float scale2_stored, ScaleConvention convention, std::span<float> out) {
  assert(block_size != 0 && block_size % 2 == 0 && out.size() % block_size == 0);
  assert(packed_codes.size() == out.size() / 2 && block_scales.size() == out.size() / block_size);
  const BlockTable& values = convention == ScaleConvention::kMultiplier ? kMultiplierValues : kDivisorValues;
  const std::uint8_t* codes = packed_codes.data();
  float* row = out.data();
  const std::size_t num_bytes = block_size / 2;
  for (const std::uint8_t block_scale : block_scales) {
    const float multiplier = block_multiplier(block_scale, scale2_stored, convention);
    BlockTable products;
    for (std::uint32_t code = 0; code < kE2m1NumCodes; ++code) products[code] = values[code] * multiplier;
    for (std::size_t byte_idx = 0; byte_idx < num_bytes; ++byte_idx) {
      const std::uint8_t byte = codes[byte_idx];
      row[2 * byte_idx] = products[byte & 15U];
      row[2 * byte_idx + 1] = products[byte >> 4U];
    }
    codes += num_bytes;
    row += block_size;
  }
}

}  // namespace nvfp4
