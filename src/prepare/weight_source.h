// Where a model gets its weights from: a checkpoint, or a generator of random ones. Each call prepares one weight.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/activation_request.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

using checkpoint::ActivationRequest;

struct MatrixShape {
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
};

class WeightSource {
 public:
  WeightSource() = default;
  virtual ~WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;

  // Is there a parameter of this name ("model.layers.0.self_attn.q_proj.bias")?
  [[nodiscard]] virtual bool has(std::string_view name) const = 0;

  // The matrix `module`.weight, with `module`.bias when has_bias.
  [[nodiscard]] virtual Result<PreparedWeight> matrix(const std::string& module, MatrixShape shape, bool has_bias) = 0;

  // The same projection of all experts: `prefix`.{e}.`projection`.weight, or the fused spelling of newer files.
  [[nodiscard]] virtual Result<PreparedWeight> experts(const std::string& prefix, const std::string& projection,
                                                       std::uint32_t num_experts, MatrixShape shape) = 0;

  // A vector as float32, such as a norm's weight; name with its suffix.
  [[nodiscard]] virtual Result<std::vector<float>> vector(const std::string& name, std::uint64_t size) = 0;

  // FP32 multipliers of a layer's keys and values in an FP8 cache; 1 when the file has none.
  struct KvScales {
    float k = 1.0F;
    float v = 1.0F;
  };
  [[nodiscard]] virtual Result<KvScales> kv_scales(const std::string& attention_module) const = 0;

  // After everything was taken: an Error naming a weight that nothing asked for.
  [[nodiscard]] virtual Status finish() const = 0;
};

}  // namespace nvfp4::prepare
