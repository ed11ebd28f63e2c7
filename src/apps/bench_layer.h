// Real layers with random weights for a problem, as many copies as are asked for.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/bench_problem.h"
#include "base/cpu_features.h"
#include "base/large_pages.h"
#include "base/worker_pool.h"
#include "base/workspace.h"
#include "layers/context.h"
#include "layers/linear.h"
#include "layers/sparse_moe.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

class BenchLayers {
 public:
  // Copies differ in their weights; their routers are alike. An Error when no kernel serves the problem.
  [[nodiscard]] static Result<BenchLayers> create(const BenchProblem& problem, std::size_t num_copies,
                                                  InstructionSet instruction_set, WorkerPool& pool);

  [[nodiscard]] std::size_t num_copies() const { return layers_.size(); }
  [[nodiscard]] std::string_view kernel() const;  // moe: of the first projection
  [[nodiscard]] std::size_t workspace_bytes(std::size_t num_workers) const;

  // y [tokens, output_size] = layer(x [tokens, input_size]).
  void run(std::size_t copy_idx, std::span<const float> x, std::span<float> y, const layers::Context& context) const;

  // Which experts the tokens of x choose, ascending; of linear: the only one.
  [[nodiscard]] std::vector<std::uint32_t> chosen_experts(std::span<const float> x,
                                                          const layers::Context& context) const;

 private:
  using Layer = std::variant<layers::Linear, layers::SparseMoe>;

  explicit BenchLayers(const BenchProblem& problem) : problem_(problem) {}

  BenchProblem problem_;
  std::vector<Layer> layers_;
};

// Inputs of unit variance, rounded to BF16: [num_inputs][tokens, input_size].
[[nodiscard]] std::vector<LargeVector<float>> random_inputs(const BenchProblem& problem, std::size_t num_inputs,
                                                            WorkerPool& pool);

}  // namespace nvfp4::apps
