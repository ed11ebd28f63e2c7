// The second-level scales of a weight as FP32 multipliers per logical shard.
#pragma once

#include "checkpoint/description_part.h"
#include "checkpoint/model_config.h"
#include "checkpoint/scale_values.h"
#include "checkpoint/tensor_files.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

// Fills shard_rows, scale2 and stored_scale2 of a quantised weight by the rules of judge_scale2().
[[nodiscard]] Status set_weight_scale(const TensorFiles& files, const ModelConfig& model, const ScaleValues& values,
                                      DescribedTensor& weight, DescriptionPart& out);

}  // namespace nvfp4::checkpoint
