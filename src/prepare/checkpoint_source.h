// Weights of a checkpoint, read with plain reads straight into prepared memory: the file's pages are never mapped, so
// memory holds each weight once. All workers of a pool read at the same time.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/worker_pool.h"
#include "nvfp4/checkpoint.h"
#include "prepare/weight_source.h"

namespace nvfp4::prepare {

class CheckpointSource final : public WeightSource {
 public:
  using OnProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

  // `label` (the directory) begins error messages. The checkpoint and the pool outlive the source; without a pool, the
  // calling thread reads alone. on_progress is called on the calling thread.
  CheckpointSource(const Checkpoint& checkpoint, std::string label, ActivationRequest request,
                   OnProgress on_progress = {}, WorkerPool* pool = nullptr);

  [[nodiscard]] bool has(std::string_view name) const override;
  [[nodiscard]] Result<PreparedWeight> matrix(const std::string& module, MatrixShape shape, bool has_bias) override;
  [[nodiscard]] Result<PreparedWeight> experts(const std::string& prefix, const std::string& projection,
                                               std::uint32_t num_experts, MatrixShape shape) override;
  [[nodiscard]] Result<std::vector<float>> vector(const std::string& name, std::uint64_t size) override;
  [[nodiscard]] Result<KvScales> kv_scales(const std::string& attention_module) const override;
  [[nodiscard]] Status finish() const override;

 private:
  // The matrix of one expert: rows from first_row on of that expert of a described tensor.
  struct Slice {
    const DescribedTensor* tensor = nullptr;
    std::uint64_t expert_idx = 0;
    std::uint64_t first_row = 0;
  };

  // Bytes of a tensor and where they go.
  struct Read {
    const StoredTensor* tensor = nullptr;
    std::uint64_t offset = 0;
    std::span<std::byte> out;
  };

  [[nodiscard]] Result<const DescribedTensor*> take(const std::string& name);
  [[nodiscard]] Error error(std::string_view name, ErrorCode code, std::string message) const;
  [[nodiscard]] Error not_a_float(const DescribedTensor& tensor) const;
  [[nodiscard]] Status check_shape(const DescribedTensor& tensor, std::span<const std::uint64_t> expected) const;
  [[nodiscard]] Status check_no_pre_quant_scale(const DescribedTensor& tensor) const;
  [[nodiscard]] Status begin(const DescribedTensor& tensor, std::uint32_t num_experts, MatrixShape shape,
                             PreparedWeight& out) const;
  static void add_reads(Read whole, std::vector<Read>& reads);
  [[nodiscard]] Status copy(std::span<const Slice> experts, PreparedWeight& out);
  [[nodiscard]] Status read(std::span<const Read> reads);
  [[nodiscard]] Status read_together(std::span<const Read> reads) const;
  [[nodiscard]] Result<std::vector<float>> read_floats(const StoredTensor& stored) const;
  [[nodiscard]] Status copy_shard_scales(const Slice& slice, std::size_t out_expert, PreparedWeight& out) const;
  [[nodiscard]] Status copy_scales(const Slice& slice, std::size_t out_expert, PreparedWeight& out) const;
  [[nodiscard]] Status set_activation(const DescribedTensor& tensor, PreparedWeight& out) const;
  [[nodiscard]] Result<float> stored_input_scale(const DescribedTensor& tensor, std::uint64_t source_expert) const;
  [[nodiscard]] Result<PreparedWeight> fused_experts(const DescribedTensor& tensor, const std::string& projection,
                                                     std::uint32_t num_experts, MatrixShape shape);
  void report(std::uint64_t num_bytes);

  const Checkpoint& checkpoint_;
  std::string label_;
  ActivationRequest request_;
  OnProgress on_progress_;
  WorkerPool* pool_;
  std::unordered_map<std::string_view, const DescribedTensor*> by_name_;
  std::unordered_set<const DescribedTensor*> taken_;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace nvfp4::prepare
