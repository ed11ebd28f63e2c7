// Rows of activations as NVFP4 codes and block scales, for kernels that multiply FP4 numbers as they are:
//
//   A(v) = e2m1(code) * e4m3(block scale) * row_scale[r]      v and the rounding: quantize_activations.h, kNvfp4Static
//                                                             and kNvfp4Dynamic; bit for bit
//
// Columns beyond K to a multiple of 64 get scale 0. A row with a NaN or an infinity has a row_scale of NaN, and no
// codes.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/cuda_shared/quantize_activations.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

struct QuantizeCodes {
  QuantizeActivations rows;       // `values` is not written, row_scale is
  const float* f32 = nullptr;     // [num_rows, K] to be quantised, in place of x; no other factors then
  std::uint8_t* codes = nullptr;  // layouts/quantized_rows_256.h, of code_rows rows
  std::uint64_t code_rows = 0;
};

// num_rows is above 0; in_features at most kMaxQuantizedFeatures.
[[nodiscard]] Status quantize_codes(const QuantizeCodes& quantize, DeviceStream stream);

}  // namespace nvfp4::kernels
