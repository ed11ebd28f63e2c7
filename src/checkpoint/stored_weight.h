// One data tensor with its companions, and what their types and shapes alone say about it.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/model_config.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/tensor_role.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

struct StoredWeight {
  const StoredTensor* data = nullptr;
  TensorRole role;
  const StoredTensor* weight_scale = nullptr;
  const StoredTensor* weight_scale_2 = nullptr;
  const StoredTensor* weight_global_scale = nullptr;
  const StoredTensor* input_scale = nullptr;
  const StoredTensor* input_global_scale = nullptr;
  const StoredTensor* pre_quant_scale = nullptr;
};

// Looks up the companions of a data tensor whose element type may be quantised.
[[nodiscard]] StoredWeight find_companions(const TensorFiles& files, const StoredTensor& data, const TensorRole& role);

// Fills name, scheme (NVFP4 as W4A16 until the activations are known), dtype, shape, block size, orientation and
// provenance. An Error when types or shapes fit no scheme.
[[nodiscard]] Status describe_storage(const TensorFiles& files, const StoredWeight& stored, DescribedTensor& out);

// Rows per logical shard for `num_scales` second-level scales: [N] for one per matrix; halves for gate and up; q, k and
// v of a fused projection by the heads of `model`. An Error when the rows of each cannot be known.
[[nodiscard]] Result<std::vector<std::uint64_t>> shard_rows(const TensorFiles& files, const DescribedTensor& weight,
                                                            std::uint64_t num_scales, const ModelConfig& model);

}  // namespace nvfp4::checkpoint
