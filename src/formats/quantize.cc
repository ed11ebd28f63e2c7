#include "nvfp4/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"

namespace nvfp4 {
namespace {

enum class Role : std::uint8_t { kWeight, kActivation };

// What compressed-tensors puts for a block scale that rounds to zero.
constexpr float kZeroScaleSubstitute = 0.125F;

Error invalid(std::string where, std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(where), std::move(message)};
}

// Result of an operation in `dtype`, computed in FP32.
float round_to(DType dtype, float value) {
  if (dtype == DType::kBF16) return round_to_bf16(value);
  return dtype == DType::kF16 ? round_to_fp16(value) : value;
}

float least_normal(DType dtype) { return dtype == DType::kF16 ? 0x1p-14F : std::numeric_limits<float>::min(); }

Status check_dtype(DType dtype) {
  if (dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16) return {};
  return Error{ErrorCode::kUnsupported, "dtype", "only F32, BF16 and F16 can be quantised; convert first"};
}

// Block scale byte for a block whose largest magnitude is `amax`; `scale2` as stored.
std::uint8_t block_scale_modelopt(float amax, float scale2, Role role) {
  float scale = amax / (kE2m1Max * scale2);
  if (role == Role::kActivation) return amax == 0.0F ? std::uint8_t{0} : encode_e4m3_saturating(scale);
  if (amax == 0.0F && scale2 == 0.0F) return 0xFF;  // 0 / 0; on x86 this NaN has its sign set
  if (scale == 0.0F) scale = 1.0F;
  return encode_e4m3_saturating(std::max(scale, kE4m3MinSubnormal));
}

std::uint8_t block_scale_compressed_tensors(float amax, float scale2, DType dtype) {
  const float scale = scale2 * round_to(dtype, amax / kE2m1Max);
  const std::uint8_t code = encode_e4m3_saturating(scale);
  return code == 0 ? encode_e4m3_saturating(kZeroScaleSubstitute) : code;
}

// Negative only what is below zero after the division: -0 and quotients that underflow give code 0. NaN gives code 7.
std::uint8_t element_code(float value, float multiplier) {
  const float scaled = value / multiplier;
  const std::uint8_t magnitude = encode_e2m1(std::fabs(scaled));
  return static_cast<std::uint8_t>(magnitude | (scaled < 0.0F ? 8U : 0U));
}

class BlockQuantizer {
 public:
  BlockQuantizer(QuantizerRule rule, Role role, DType dtype, float scale2)
      : rule_(rule), role_(role), dtype_(dtype), scale2_(scale2) {}

  // Writes the codes [values.size() / 2] of one block and answers its scale byte.
  std::uint8_t operator()(std::span<const float> values, std::uint8_t* codes) const {
    float amax = 0.0F;
    for (const float value : values) amax = std::max(amax, std::fabs(value));
    const std::uint8_t scale = rule_ == QuantizerRule::kModelOpt
                                   ? block_scale_modelopt(amax, scale2_, role_)
                                   : block_scale_compressed_tensors(amax, scale2_, dtype_);
    if (role_ == Role::kActivation && scale == 0) {
      std::fill_n(codes, values.size() / 2, std::uint8_t{0});
      return scale;
    }
    const float multiplier = block_multiplier(scale, scale2_, scale_convention(rule_));
    for (std::size_t k = 0; k < values.size(); k += 2) {
      codes[k / 2] = pack_e2m1(element_code(values[k], multiplier), element_code(values[k + 1], multiplier));
    }
    return scale;
  }

 private:
  QuantizerRule rule_;
  Role role_;
  DType dtype_;
  float scale2_;
};

bool shape_fits(std::uint64_t rows, std::uint64_t cols, std::size_t num_values) {
  return cols == 0 ? num_values == 0 : num_values % cols == 0 && num_values / cols == rows;
}

Status check_blocks(const MatrixView& matrix, QuantizerRule rule, Role role, float scale2, std::uint32_t block_size) {
  if (block_size != 16 && (block_size != 32 || rule != QuantizerRule::kModelOpt)) {
    return invalid("block_size " + std::to_string(block_size), "must be 16 (ModelOpt's rule also takes 32)");
  }
  if (matrix.cols == 0 || matrix.cols % block_size != 0) {
    return invalid("cols " + std::to_string(matrix.cols),
                   "not a multiple of the block size " + std::to_string(block_size) + "; pad the matrix first");
  }
  if (!std::isfinite(scale2) || scale2 < 0.0F || (role == Role::kActivation && scale2 == 0.0F)) {
    return invalid("scale2 " + std::to_string(scale2), "must be finite and above zero; calibrate again");
  }
  return {};
}

Result<QuantizedMatrix> quantize(const MatrixView& matrix, QuantizerRule rule, Role role, float scale2,
                                 std::uint32_t block_size) {
  NVFP4_RETURN_IF_ERROR(check_blocks(matrix, rule, role, scale2, block_size));
  QuantizedMatrix out;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.block_size = block_size;
  out.convention = scale_convention(rule);
  out.scale2_stored = scale2;
  out.codes.resize(matrix.values.size() / 2);
  out.block_scales.resize(matrix.values.size() / block_size);
  const BlockQuantizer quantize_block(rule, role, matrix.dtype, scale2);
  for (std::size_t block_idx = 0; block_idx < out.block_scales.size(); ++block_idx) {
    const std::size_t begin = block_idx * block_size;
    out.block_scales[block_idx] = quantize_block(matrix.values.subspan(begin, block_size), &out.codes[begin / 2]);
  }
  return out;
}

}  // namespace

ScaleConvention scale_convention(QuantizerRule rule) {
  return rule == QuantizerRule::kModelOpt ? ScaleConvention::kMultiplier : ScaleConvention::kDivisor;
}

Result<float> largest_magnitude(const MatrixView& matrix) {
  NVFP4_RETURN_IF_ERROR(check_dtype(matrix.dtype));
  const std::size_t num_values = matrix.values.size();
  if (!shape_fits(matrix.rows, matrix.cols, num_values)) {
    return invalid("matrix", std::to_string(num_values) + " values do not make " + std::to_string(matrix.rows) + " x " +
                                 std::to_string(matrix.cols) + "; pass rows * cols values");
  }
  float amax = 0.0F;
  for (std::size_t idx = 0; idx < num_values; ++idx) {
    const float value = matrix.values[idx];
    if (!std::isfinite(value) || round_to(matrix.dtype, value) != value) {
      return invalid("matrix[" + std::to_string(idx / matrix.cols) + ", " + std::to_string(idx % matrix.cols) + "]",
                     std::isfinite(value) ? "is not a number of the dtype given; round it first"
                                          : "is not finite and has no scale; repair the weights first");
    }
    amax = std::max(amax, std::fabs(value));
  }
  return amax;
}

Result<float> scale2_for(QuantizerRule rule, float largest_magnitude, DType dtype) {
  NVFP4_RETURN_IF_ERROR(check_dtype(dtype));
  if (!std::isfinite(largest_magnitude) || largest_magnitude < 0.0F) {
    return invalid("largest magnitude", "must be finite and not negative; repair the numbers first");
  }
  if (rule == QuantizerRule::kModelOpt) return largest_magnitude / kNvfp4Range;
  // A reciprocal and a product, each rounded to the dtype: torch divides a number by a tensor in these two steps.
  const float reciprocal = round_to(dtype, 1.0F / std::max(largest_magnitude, least_normal(dtype)));
  const float scale2 = round_to(dtype, reciprocal * kNvfp4Range);
  return std::isfinite(scale2) ? scale2 : 1.0F;
}

Result<QuantizedMatrix> quantize_weight(const MatrixView& weight, QuantizerRule rule,
                                        std::optional<float> scale2_stored, std::uint32_t block_size) {
  const Result<float> amax = largest_magnitude(weight);
  NVFP4_RETURN_IF_ERROR(amax);
  const Result<float> scale2 = scale2_stored ? Result<float>(*scale2_stored) : scale2_for(rule, *amax, weight.dtype);
  NVFP4_RETURN_IF_ERROR(scale2);
  return quantize(weight, rule, Role::kWeight, *scale2, block_size);
}

Result<QuantizedMatrix> quantize_activation(const MatrixView& activation, QuantizerRule rule, float scale2_stored,
                                            std::uint32_t block_size) {
  NVFP4_RETURN_IF_ERROR(largest_magnitude(activation));
  return quantize(activation, rule, Role::kActivation, scale2_stored, block_size);
}

void quantize_activation_row(std::span<const float> values, QuantizerRule rule, float scale2_stored,
                             std::span<std::uint8_t> codes, std::span<std::uint8_t> block_scales) {
  const BlockQuantizer quantize_block(rule, Role::kActivation, DType::kF32, scale2_stored);
  for (std::size_t block_idx = 0; block_idx < block_scales.size(); ++block_idx) {
    const std::size_t begin = block_idx * kNvfp4BlockSize;
    block_scales[block_idx] = quantize_block(values.subspan(begin, kNvfp4BlockSize), &codes[begin / 2]);
  }
}

Status dequantize(const QuantizedMatrix& matrix, std::span<float> out) {
  const bool blocks_fit = matrix.block_size != 0 && matrix.block_size % 2 == 0 && matrix.cols % matrix.block_size == 0;
  if (!blocks_fit || !shape_fits(matrix.rows, matrix.cols, out.size()) || matrix.codes.size() != out.size() / 2 ||
      matrix.block_scales.size() != out.size() / matrix.block_size) {
    return invalid("quantized matrix", "rows, cols, block_size and the sizes of the buffers do not agree; check them");
  }
  const std::span<const std::uint8_t> codes(matrix.codes);
  const std::span<const std::uint8_t> scales(matrix.block_scales);
  // Rows hold whole blocks, so the matrix decodes as one long row.
  dequantize_row(codes, scales, matrix.block_size, matrix.scale2_stored, matrix.convention, out);
  return {};
}

}  // namespace nvfp4
