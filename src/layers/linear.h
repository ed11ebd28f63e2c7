// A linear layer, plain or one projection of all experts: a prepared weight and the kernel that serves it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "kernels/catalogue/linear_catalogue.h"
#include "layers/context.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::layers {

// A kernel of a layer, for at most last_rows rows and more than those of the one before; the last one is for all more.
struct ServingKernel {
  static constexpr std::uint32_t kAllRows = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t last_rows = kAllRows;
  const kernels::LinearKernel* kernel = nullptr;
};

class Linear {
 public:
  // Brings the weight into the layout of its kernels, which all read the same one. None: it is never multiplied with.
  [[nodiscard]] static Result<Linear> create(prepare::PreparedWeight weight, std::vector<ServingKernel> kernels,
                                             WorkerPool& pool);
  // Chooses one kernel within the instruction set for all numbers of rows. An Error when none serves the weight.
  [[nodiscard]] static Result<Linear> create(prepare::PreparedWeight weight, InstructionSet instruction_set,
                                             WorkerPool& pool);

  // y [num_rows, out] = linear(x [num_rows, in]), rounded to the context's precision. expert_offsets [experts + 1]
  // assigns rows to experts (kernels/contract/linear.h); empty for a plain layer.
  void run(std::span<const float> x, std::uint32_t num_rows, std::span<float> y, const Context& context,
           std::span<const std::uint32_t> expert_offsets = {}) const;
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_rows, std::size_t num_workers) const;

  // y [num_rows, out] = f(gate(x)) * up(x), rounded as three layers would (kernels/contract/linear.h: GatedPair).
  static void run_gated(const Linear& gate, const Linear& up, kernels::GateFunction function, std::span<const float> x,
                        std::uint32_t num_rows, std::span<float> y, const Context& context,
                        std::span<const std::uint32_t> expert_offsets = {});
  [[nodiscard]] static std::size_t gated_workspace_bytes(const Linear& gate, const Linear& up, std::uint32_t num_rows,
                                                         std::size_t num_workers);

  [[nodiscard]] const prepare::PreparedWeight& weight() const { return weight_; }
  [[nodiscard]] const kernels::LinearKernel& kernel_for(std::uint32_t num_rows) const;
  [[nodiscard]] std::uint64_t out_features() const { return weight_.out_features; }
  [[nodiscard]] std::uint64_t in_features() const { return weight_.in_features; }

 private:
  Linear(prepare::PreparedWeight weight, std::vector<ServingKernel> kernels)
      : weight_(std::move(weight)), kernels_(std::move(kernels)) {}
  [[nodiscard]] static bool run_together(const Linear& gate, const Linear& up, std::uint32_t num_rows);

  prepare::PreparedWeight weight_;
  std::vector<ServingKernel> kernels_;
};

}  // namespace nvfp4::layers
