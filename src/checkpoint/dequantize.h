// Float32 reconstruction of described weights, bit-equal to the producer's own.
#pragma once

#include <cstdint>
#include <span>

#include "checkpoint/tensor_files.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

// See Checkpoint::dequantize_rows.
[[nodiscard]] Status dequantize_rows(const TensorFiles& files, const DescribedTensor& weight, std::uint64_t row_begin,
                                     std::uint64_t row_end, std::span<float> out);

}  // namespace nvfp4::checkpoint
