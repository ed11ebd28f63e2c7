#include "kernels/cpu_shared/tile_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/float_bits.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::kernels::cpu_shared {
namespace {

constexpr std::array<float, 128> make_tile_scale_values() {
  std::array<float, 128> values{};
  for (std::size_t byte = 0; byte < 127; ++byte) {
    values[byte] = decode_e4m3(static_cast<std::uint8_t>(byte)) / kTileScaleUnit;
  }
  return values;
}

}  // namespace

constexpr std::array<float, 128> kTileScaleValues = make_tile_scale_values();

float quantize_nvfp4_row(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                         float* scratch, std::int8_t* codes, std::uint8_t* block_scales) {
  const std::uint64_t count = weight.in_features;
  float amax = 0.0F;
  bool finite = true;
  for (std::uint64_t k = 0; k < count; ++k) {
    scratch[k] = weight.pre_quant_scale.empty() ? x[k] : x[k] * weight.pre_quant_scale[k];
    finite = finite && std::isfinite(scratch[k]);
    amax = std::max(amax, std::fabs(scratch[k]));
  }
  if (!finite) {
    std::fill_n(codes, count, std::int8_t{0});
    std::fill_n(block_scales, count / kNvfp4BlockSize, std::uint8_t{0});
    return std::numeric_limits<float>::quiet_NaN();
  }
  const bool is_static = activation == Activation::kNvfp4Static;
  const QuantizerRule rule = is_static ? weight.input_rule : QuantizerRule::kModelOpt;
  float scale2 = is_static ? weight.input_scale[expert_idx] : amax / kNvfp4Range;
  if (!is_static && scale2 == 0.0F) scale2 = 1.0F;
  std::array<std::uint8_t, kNvfp4BlockSize / 2> packed{};
  for (std::uint64_t begin = 0; begin < count; begin += kNvfp4BlockSize) {
    quantize_activation_row({scratch + begin, kNvfp4BlockSize}, rule, scale2, packed,
                            {block_scales + begin / kNvfp4BlockSize, 1});
    for (std::size_t k = 0; k < kNvfp4BlockSize; ++k) {
      codes[begin + k] = static_cast<std::int8_t>(2.0F * decode_e2m1(unpack_e2m1(packed.data(), k)));
    }
  }
  return rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2;
}

}  // namespace nvfp4::kernels::cpu_shared
