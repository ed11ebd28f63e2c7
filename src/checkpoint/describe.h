// From stored tensors and a declared configuration to one exact description of every weight. The tensors decide what a
// weight is; the configuration decides only what tensors cannot say (the activations), and every disagreement is
// listed.
#pragma once

#include <vector>

#include "base/large_pages.h"
#include "checkpoint/description_part.h"
#include "checkpoint/model_config.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/scale_values.h"
#include "checkpoint/tensor_files.h"
#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

struct Description : DescriptionPart {
  explicit Description(const TensorFiles& files) : scale_values(files) {}

  ScaleValues scale_values;              // views of weights point into it too
  LargeVector<DescribedTensor> weights;  // in the order of the files
  std::vector<KvScale> kv_scales;
};

// `files` and `map` must outlive the result, which points into them.
[[nodiscard]] Result<Description> describe(const TensorFiles& files, const QuantizationMap& map,
                                           const ModelConfig& model);

}  // namespace nvfp4::checkpoint
