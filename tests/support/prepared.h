// Prepared weights for tests: from numbers, and from random linear weights.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "layers/context.h"
#include "layers/linear.h"
#include "prepare/prepared_weight.h"
#include "support/random_linear.h"

namespace nvfp4::support {

inline LargeBuffer copy_of(const void* data, std::size_t num_bytes) {
  LargeBuffer buffer(num_bytes);
  std::memcpy(buffer.data(), data, num_bytes);
  return buffer;
}

inline prepare::PreparedWeight prepared(const RandomLinear& linear) {
  prepare::PreparedWeight weight;
  weight.name = "test";
  weight.scheme = kernels::weight_format_name(linear.spec.format);
  weight.activation = linear.spec.activation;
  weight.format = linear.spec.format;
  weight.num_experts = linear.spec.num_experts;
  weight.out_features = linear.spec.out_features;
  weight.in_features = linear.spec.in_features;
  weight.block_size = linear.view().block_size;
  weight.elements = copy_of(linear.elements.data(), linear.elements.size());
  if (!linear.block_scales.empty()) {
    weight.block_scales = copy_of(linear.block_scales.data(), linear.block_scales.size());
  }
  weight.shard_rows = linear.shard_rows;
  weight.scale2 = linear.scale2;
  weight.per_row_scale = linear.spec.per_row_scale;
  weight.input_scale = linear.input_scale;
  weight.input_rule = linear.spec.input_rule;
  weight.pre_quant_scale = linear.pre_quant_scale;
  weight.bias = linear.bias;
  return weight;
}

inline layers::Linear linear_layer(prepare::PreparedWeight weight) {
  WorkerPool pool(1);
  return layers::Linear::create(std::move(weight), best_instruction_set(), pool).value();
}

inline layers::Linear linear_layer(const RandomLinear& linear) { return linear_layer(prepared(linear)); }

// values [experts, out, in].
inline layers::Linear linear_layer(const std::vector<float>& values, std::uint64_t out_features,
                                   std::uint64_t in_features, std::uint32_t num_experts = 1) {
  prepare::PreparedWeight weight;
  weight.name = "test";
  weight.scheme = "fp32";
  weight.format = kernels::WeightFormat::kF32;
  weight.num_experts = num_experts;
  weight.out_features = out_features;
  weight.in_features = in_features;
  weight.elements = copy_of(values.data(), values.size() * sizeof(float));
  return linear_layer(std::move(weight));
}

// A context that owns what it refers to.
class OwnContext {
 public:
  explicit OwnContext(layers::Precision precision, std::size_t num_workers = 2, std::size_t workspace_bytes = 1 << 20)
      : pool_(num_workers), context_{workspace_, pool_, precision} {
    workspace_.reserve(workspace_bytes);
  }
  OwnContext(const OwnContext&) = delete;
  OwnContext& operator=(const OwnContext&) = delete;
  operator const layers::Context&() const { return context_; }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] std::size_t peak_bytes() const { return workspace_.peak_bytes(); }

 private:
  Workspace workspace_;
  WorkerPool pool_;
  layers::Context context_;
};

}  // namespace nvfp4::support
