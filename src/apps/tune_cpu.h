// How long a linear layer takes on this processor with one kernel or another: random weights from memory, not from the
// caches, and of experts random routing.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "base/worker_pool.h"
#include "base/workspace.h"
#include "kernels/contract/linear.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::apps {

class CpuLayerTimer {
 public:
  // top_k: rows of a token, each for another of `whole_experts`, of which the problem's are a rank's. seconds: of
  // repetitions, for each measurement.
  CpuLayerTimer(const kernels::LinearProblem& problem, std::uint32_t whole_experts, std::uint32_t top_k, double seconds,
                WorkerPool& pool)
      : problem_(problem), whole_experts_(whole_experts), top_k_(top_k), seconds_(seconds), pool_(pool) {}

  // The median of three repetitions or more.
  [[nodiscard]] Result<double> us(std::string_view kernel_name, std::uint32_t num_tokens);

 private:
  using Copies = std::vector<prepare::PreparedWeight>;
  [[nodiscard]] Result<const Copies*> copies(kernels::WeightLayout layout);
  [[nodiscard]] std::vector<std::uint32_t> random_offsets(std::uint32_t num_tokens) const;

  kernels::LinearProblem problem_;
  std::uint32_t whole_experts_;
  std::uint32_t top_k_;
  double seconds_;
  WorkerPool& pool_;
  std::map<kernels::WeightLayout, Copies> copies_;
  std::size_t next_copy_ = 0;
  Workspace workspace_;
};

}  // namespace nvfp4::apps
