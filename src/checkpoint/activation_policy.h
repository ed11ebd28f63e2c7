// Decides what happens to the input of each quantised weight, and repairs input scales that calibration left unusable.
//
//   1. An input scale is usable when it and its reciprocal are positive normal numbers.
//   2. An expert whose input scale is missing or unusable takes the largest usable one of the same projection in its
//      layer. Outside of experts, or when no expert has one, an unusable input scale is an error.
//   3. Declared weight-only: 16-bit, and an input scale in the file is ignored. Declared W4A4 without any input scale:
//      weight-only. Not declared: an input scale means W4A4. Everything but the first is listed as a conflict.
#pragma once

#include "checkpoint/describe.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/tensor_files.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

// Reads and completes out.weights; out.scale_values must hold their input scales.
[[nodiscard]] Status set_activations(const TensorFiles& files, const QuantizationMap& map, Description& out);

}  // namespace nvfp4::checkpoint
