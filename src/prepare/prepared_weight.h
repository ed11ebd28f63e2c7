// A weight as kernels read it, owned: made once at load, the source file is not needed afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/large_buffer.h"
#include "base/worker_pool.h"
#include "kernels/contract/linear.h"
#include "nvfp4/tensor.h"
#include "prepare/weight_buffer.h"

namespace nvfp4::prepare {

// Row-major as it comes from a source; relayout.h brings it into the layout of its kernel.
struct PreparedWeight {
  std::string name;                            // module: "model.layers.0.self_attn.q_proj"
  std::string scheme;                          // in the file: "nvfp4_w4a4", "bf16", ...
  Activation activation = Activation::k16Bit;  // what is done with the input
  std::string activation_reason;

  kernels::WeightFormat format = kernels::WeightFormat::kBF16;
  std::uint32_t num_experts = 1;
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  std::uint32_t block_size = 0;
  kernels::WeightLayout layout = kernels::WeightLayout::kRowMajor;
  bool odd_scales = false;  // set by look_at_scales()
  WeightBuffer elements;
  LargeBuffer block_scales;
  std::vector<std::uint64_t> shard_rows;
  std::vector<float> scale2;
  bool per_row_scale = false;
  std::vector<float> input_scale;
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  std::vector<float> pre_quant_scale;
  std::vector<float> bias;

  [[nodiscard]] kernels::LinearWeight view() const;
  [[nodiscard]] kernels::LinearProblem problem() const;
  [[nodiscard]] std::uint64_t num_bytes() const;
  // Takes uninitialised memory for elements and block scales of the format and sizes above, with room for the tiles of
  // relayout(). False when there is not enough.
  [[nodiscard]] bool allocate();
  // Is a block scale negative or NaN? Reads all of them; before relayout().
  void look_at_scales(WorkerPool& pool);
};

}  // namespace nvfp4::prepare
