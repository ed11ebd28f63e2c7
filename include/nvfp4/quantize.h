// Quantises matrices to NVFP4 as the two producers do, byte for byte: codes, block scales and second-level scale.
//
//   nvfp4::MatrixView weight{values, rows, cols, nvfp4::DType::kBF16};
//   auto quantized = nvfp4::quantize_weight(weight, nvfp4::QuantizerRule::kModelOpt);
//
// The rules are those of NVIDIA ModelOpt 0.47 and compressed-tensors 0.19 on the CPU. On a GPU, ModelOpt's scale2 is
// amax * fl(1 / 2688), which can differ in the last bit: pass the stored one to reproduce such a checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4 {

enum class QuantizerRule : std::uint8_t {
  kModelOpt,  // scale2 is a multiplier, amax / 2688; block scales are clamped to [2^-9, 448], that of zeros is 1
  kCompressedTensors,  // scale2 is a divisor, 2688 / amax; block scales are clamped to 448, and zero becomes 0.125
};

// The numbers to quantise. dtype is what the producer would read: kF32, kBF16 or kF16. It matters: compressed-tensors
// computes its scales in it. Every value must be finite and exactly a number of that type.
struct MatrixView {
  std::span<const float> values;  // [rows, cols] row-major
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  DType dtype = DType::kF32;
};

struct QuantizedMatrix {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint32_t block_size = 16;
  ScaleConvention convention = ScaleConvention::kMultiplier;
  float scale2_stored = 1.0F;              // under `convention`
  std::vector<std::uint8_t> codes;         // [rows, cols / 2] two E2M1 codes a byte, low nibble = even column
  std::vector<std::uint8_t> block_scales;  // [rows, cols / block_size] E4M3
};

[[nodiscard]] ScaleConvention scale_convention(QuantizerRule rule);

// Largest magnitude of the matrix; an Error for what quantize_weight() refuses.
[[nodiscard]] Result<float> largest_magnitude(const MatrixView& matrix);

// The second-level scale that a producer stores for a matrix (or a group of fused matrices) of that largest magnitude.
// ModelOpt gives 0 for 0; compressed-tensors gives 1 where its quotient, in the dtype, is not finite.
[[nodiscard]] Result<float> scale2_for(QuantizerRule rule, float largest_magnitude, DType dtype);

// scale2_stored: the scale of a fused group, or of a calibration; without it, scale2_for() of the matrix itself.
// block_size: 16; ModelOpt also 32. A matrix of zeros under ModelOpt's rule gets NaN block scales, as there.
[[nodiscard]] Result<QuantizedMatrix> quantize_weight(const MatrixView& weight, QuantizerRule rule,
                                                      std::optional<float> scale2_stored = std::nullopt,
                                                      std::uint32_t block_size = 16);

// Activations: block scales at run time under a static scale2 (input_scale, input_global_scale). kModelOpt differs from
// weights in small blocks: the scale may round to zero, and then all codes of the block are zero. scale2_stored > 0.
[[nodiscard]] Result<QuantizedMatrix> quantize_activation(const MatrixView& activation, QuantizerRule rule,
                                                          float scale2_stored, std::uint32_t block_size = 16);

// Back to FP32 as the producer's library does it; out is [rows, cols].
[[nodiscard]] Status dequantize(const QuantizedMatrix& matrix, std::span<float> out);

}  // namespace nvfp4
