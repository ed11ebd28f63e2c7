// A linear layer, plain or one projection of all experts: a prepared weight and the kernel that serves it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernels/catalogue/linear_catalogue.h"
#include "layers/context.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::layers {

class Linear {
 public:
  // Chooses a kernel within the instruction set and brings the weight into its layout. An Error when none serves it.
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
  [[nodiscard]] const kernels::LinearChoice& choice() const { return choice_; }
  [[nodiscard]] std::uint64_t out_features() const { return weight_.out_features; }
  [[nodiscard]] std::uint64_t in_features() const { return weight_.in_features; }

 private:
  Linear(prepare::PreparedWeight weight, kernels::LinearChoice choice)
      : weight_(std::move(weight)), choice_(std::move(choice)) {}
  [[nodiscard]] static bool run_together(const Linear& gate, const Linear& up);

  prepare::PreparedWeight weight_;
  kernels::LinearChoice choice_;
};

}  // namespace nvfp4::layers
