// Weights of a checkpoint, read with plain reads straight into prepared memory: the file's pages are never mapped, so
// memory holds each weight once.
#pragma once

#include <functional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "nvfp4/checkpoint.h"
#include "prepare/weight_source.h"

namespace nvfp4::prepare {

class CheckpointSource final : public WeightSource {
 public:
  using OnProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

  // `label` (the directory) begins error messages. The checkpoint outlives the source.
  CheckpointSource(const Checkpoint& checkpoint, std::string label, ActivationRequest request,
                   OnProgress on_progress = {});

  [[nodiscard]] bool has(std::string_view name) const override;
  [[nodiscard]] Result<PreparedWeight> matrix(const std::string& module, MatrixShape shape, bool has_bias) override;
  [[nodiscard]] Result<PreparedWeight> experts(const std::string& prefix, const std::string& projection,
                                               std::uint32_t num_experts, MatrixShape shape) override;
  [[nodiscard]] Result<std::vector<float>> vector(const std::string& name, std::uint64_t size) override;
  [[nodiscard]] Result<KvScales> kv_scales(const std::string& attention_module) const override;
  [[nodiscard]] Status finish() const override;

 private:
  // Some rows of every expert of a described tensor.
  struct Slice {
    const DescribedTensor* tensor = nullptr;
    std::uint64_t first_row = 0;
  };

  [[nodiscard]] Result<const DescribedTensor*> take(const std::string& name);
  [[nodiscard]] Error error(std::string_view name, ErrorCode code, std::string message) const;
  [[nodiscard]] Error not_a_float(const DescribedTensor& tensor) const;
  [[nodiscard]] Status check_shape(const DescribedTensor& tensor, std::span<const std::uint64_t> expected) const;
  [[nodiscard]] Status check_no_pre_quant_scale(const DescribedTensor& tensor) const;
  [[nodiscard]] Status begin(const DescribedTensor& tensor, std::uint32_t num_experts, MatrixShape shape,
                             PreparedWeight& out) const;
  [[nodiscard]] Status copy_expert(const Slice& slice, std::uint64_t source_expert, std::uint32_t expert_idx,
                                   PreparedWeight& out);
  [[nodiscard]] Result<std::vector<float>> read_floats(const StoredTensor& stored) const;
  [[nodiscard]] Status copy_shard_scales(const Slice& slice, std::uint64_t source_expert, std::uint32_t expert_idx,
                                         PreparedWeight& out) const;
  [[nodiscard]] Status copy_scales(const Slice& slice, std::uint64_t source_expert, std::uint32_t expert_idx,
                                   PreparedWeight& out) const;
  [[nodiscard]] Status set_activation(const DescribedTensor& tensor, PreparedWeight& out) const;
  [[nodiscard]] Result<float> stored_input_scale(const DescribedTensor& tensor, std::uint64_t source_expert) const;
  [[nodiscard]] Result<PreparedWeight> fused_experts(const DescribedTensor& tensor, const std::string& projection,
                                                     std::uint32_t num_experts, MatrixShape shape);
  void report(std::uint64_t num_bytes);

  const Checkpoint& checkpoint_;
  std::string label_;
  ActivationRequest request_;
  OnProgress on_progress_;
  std::unordered_map<std::string_view, const DescribedTensor*> by_name_;
  std::unordered_set<const DescribedTensor*> taken_;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace nvfp4::prepare
